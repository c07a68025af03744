//! STUB of the Azure Pipelines agent's listener; see `stub_agent`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("no other provider was installed before the first line of main");
    stub_agent::main().await
}
