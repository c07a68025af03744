// Microsoft's Go clients against the emulators: azidentity and azure-devops-go-api.
//
// One line for each operation, in the order of ../operations.rs; ends with an error at the first wrong answer. What the
// clients themselves cannot do (sessions, roles) goes through azure-devops-go-api's own generic request, as its generated
// clients do it.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"
)

const (
	azureDevOps = "499b84ac-1321-427f-aa17-267ca6975798"
	agentName   = "go-agent"
)

var (
	tenant          = os.Getenv("AZURE_TENANT_ID")
	clientID        = os.Getenv("AZURE_CLIENT_ID")
	organizationURL = os.Getenv("AZP_URL")
	legacyURL       = os.Getenv("LEGACY_URL")
	poolName        = os.Getenv("AZP_POOL")
)

func main() {
	for name, path := range map[string]string{
		"azidentity":          "github.com/Azure/azure-sdk-for-go/sdk/azidentity",
		"azure-devops-go-api": "github.com/microsoft/azure-devops-go-api/azuredevops/v7",
	} {
		fmt.Println("client", name, version(path))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	useAzureDevOps(ctx, signIn(ctx))
}

// version of a module in this program.
func version(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	panic(path + " is not in this program")
}

func done(client, operation string) {
	fmt.Printf("ok %s: %s\n", client, operation)
}

// must returns the value of a call that may not fail.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%#v instead of %#v", actual, expected))
	}
}

func holds(claim bool, seen any) {
	if !claim {
		panic(fmt.Sprintf("does not hold of %#v", seen))
	}
}

func to[T any](value T) *T {
	return &value
}
