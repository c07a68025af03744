// Package mlog stands in for the logging module of that name, which the Azure Workload Identity webhook imports and which is
// no longer published. It writes JSON to the error output, as much as --log-level asks for.
package mlog

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// LogLevel says how much is written.
type LogLevel string

// LogFormat is accepted and ignored.
type LogFormat string

// The values that the webhook's flags know.
const (
	LevelWarning LogLevel  = ""
	LevelInfo    LogLevel  = "info"
	LevelDebug   LogLevel  = "debug"
	LevelTrace   LogLevel  = "trace"
	LevelAll     LogLevel  = "all"
	FormatJSON   LogFormat = "json"
)

// verbosity is what a level is on the scale of logr, as the original has it.
var verbosity = map[LogLevel]int{LevelWarning: 0, LevelInfo: 2, LevelDebug: 4, LevelTrace: 6, LevelAll: 108}

// chosen is set once, before anything that counts is written.
var chosen = LevelWarning

// LogSpec is what the flags are read into.
type LogSpec struct {
	Level  LogLevel
	Format LogFormat
}

// ValidateAndSetLogLevelAndFormatGlobally chooses the level.
func ValidateAndSetLogLevelAndFormatGlobally(_ context.Context, spec LogSpec) error {
	if _, known := verbosity[spec.Level]; !known {
		return fmt.Errorf("unknown log level %q", spec.Level)
	}
	chosen = spec.Level
	return nil
}

// Enabled says whether a level is written.
func Enabled(level LogLevel) bool { return verbosity[level] <= verbosity[chosen] }

// Setup has nothing to flush.
func Setup() func() { return func() {} }

// Fatal ends the program.
func Fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Logr is the logger that controller-runtime is given. It keeps the level that was chosen before.
func Logr() logr.Logger { return logger(verbosity[chosen]) }

func logger(verbosity int) logr.Logger {
	return funcr.NewJSON(func(line string) { fmt.Fprintln(os.Stderr, line) }, funcr.Options{Verbosity: verbosity})
}

// Logger is what the webhook's own code writes to.
type Logger struct{ inner logr.Logger }

// New makes a logger without a name.
func New() Logger { return Logger{logger(0)} }

// WithName adds a name.
func (l Logger) WithName(name string) Logger { return Logger{l.inner.WithName(name)} }

// WithValues adds values to every line.
func (l Logger) WithValues(values ...any) Logger { return Logger{l.inner.WithValues(values...)} }

// Trace writes a line.
func (l Logger) Trace(message string, values ...any) { l.write(LevelTrace, message, values) }

// Debug writes a line.
func (l Logger) Debug(message string, values ...any) { l.write(LevelDebug, message, values) }

// Info writes a line.
func (l Logger) Info(message string, values ...any) { l.write(LevelInfo, message, values) }

// Warning writes a line.
func (l Logger) Warning(message string, values ...any) { l.write(LevelWarning, message, values) }

func (l Logger) write(level LogLevel, message string, values []any) {
	if Enabled(level) {
		l.inner.Info(message, values...)
	}
}

// Error writes a line with an error.
func (l Logger) Error(message string, err error, values ...any) {
	l.inner.Error(err, message, values...)
}
