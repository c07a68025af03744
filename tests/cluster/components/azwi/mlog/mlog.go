// Package mlog stands in for the logging module of that name, which the Azure Workload Identity webhook imports and which is
// no longer published. It writes every line as JSON to the error output; levels are ignored.
package mlog

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// LogLevel is accepted and ignored.
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

// LogSpec is what the flags are read into.
type LogSpec struct {
	Level  LogLevel
	Format LogFormat
}

// ValidateAndSetLogLevelAndFormatGlobally accepts everything.
func ValidateAndSetLogLevelAndFormatGlobally(context.Context, LogSpec) error { return nil }

// Enabled says that every level is written.
func Enabled(LogLevel) bool { return true }

// Setup has nothing to flush.
func Setup() func() { return func() {} }

// Fatal ends the program.
func Fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Logr is the logger that controller-runtime is given.
func Logr() logr.Logger {
	return funcr.NewJSON(func(line string) { fmt.Fprintln(os.Stderr, line) }, funcr.Options{Verbosity: 10})
}

// Logger is what the webhook's own code writes to.
type Logger struct{ inner logr.Logger }

// New makes a logger without a name.
func New() Logger { return Logger{Logr()} }

// WithName adds a name.
func (l Logger) WithName(name string) Logger { return Logger{l.inner.WithName(name)} }

// WithValues adds values to every line.
func (l Logger) WithValues(values ...any) Logger { return Logger{l.inner.WithValues(values...)} }

// Trace writes a line.
func (l Logger) Trace(message string, values ...any) { l.inner.V(2).Info(message, values...) }

// Debug writes a line.
func (l Logger) Debug(message string, values ...any) { l.inner.V(1).Info(message, values...) }

// Info writes a line.
func (l Logger) Info(message string, values ...any) { l.inner.Info(message, values...) }

// Warning writes a line.
func (l Logger) Warning(message string, values ...any) { l.inner.Info(message, values...) }

// Error writes a line with an error.
func (l Logger) Error(message string, err error, values ...any) {
	l.inner.Error(err, message, values...)
}
