# A menu, not a program: each recipe is a command that you can type yourself.

# lists the recipes
default:
    @just --list --unsorted

# formats the sources
fmt:
    cargo fmt --all

# checks format, lints, licenses
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p cluster --test suite --test promtool -p tests --test clients --test site -- -D warnings
    cargo deny check bans licenses sources

# all tests
test:
    cargo test --workspace

# the tests of the pure crates: seconds
core:
    cargo test -p contract -p azure-protocol -p lifecycle -p inject -p sweep -p observe

# refreshes goldens and generated pages; read the difference
golden:
    UPDATE_GOLDENS=1 cargo test -p inject
    UPDATE_GOLDENS=1 cargo test -p tests --test reference
    UPDATE_GOLDENS=1 cargo test -p azure-emulators --test emulators assumptions

# the story of one agent; `just demo --list` names the others
demo *arguments:
    cargo run --bin demo -- {{ arguments }}

# builds what a release holds, images and chart included, into target/dist; `release/tools` installs what it needs
release:
    release/build

# prints what the chart would install: `just chart --set replicas=3`
chart *arguments:
    helm template ado-agent-injector manifests/chart --namespace ado-agent-system {{ arguments }}

# prints what would be applied: `just render overlays/production`
render overlay="base":
    kubectl kustomize manifests/{{ overlay }}

# applies it
apply overlay="base":
    kubectl apply -k manifests/{{ overlay }}

# a real Kubernetes on this machine: `just cluster up`, `just cluster down`
cluster *arguments:
    cargo run --bin cluster -- {{ arguments }}

# the suite on a real Kubernetes: `just suite`, `just suite deaths keda`
suite *names:
    cargo test -p cluster --test suite -- {{ names }}

# the same where kind makes the cluster: `just kind`, `just kind 1.34 deaths`
kind *words:
    tests/cluster/kind/run {{ words }}

# what CI runs
ci:
    .ci/run
