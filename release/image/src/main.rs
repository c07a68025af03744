//! Makes an image of one of this project's programs: a folder in OCI layout. Prints the image's name and digest.

use anyhow::{Result, ensure};
use clap::Parser;
use oci_image::product::{Build, Product};
use oci_image::{Platform, layout};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes an image of one of this project's programs, in OCI layout.
#[derive(Parser)]
#[command(name = "oci-image", max_term_width = 100)]
struct Arguments {
    /// Program, such as ado-agent-webhook.
    name: String,
    /// The program for x86-64.
    #[arg(long)]
    amd64: Option<PathBuf>,
    /// The program for AArch64.
    #[arg(long)]
    arm64: Option<PathBuf>,
    /// Version of the program, and the tag.
    #[arg(long)]
    version: String,
    /// Commit that it was built from.
    #[arg(long, default_value = "")]
    revision: String,
    /// When the commit was made, such as 2026-11-29T12:00:00Z.
    #[arg(long, default_value = "")]
    created: String,
    /// Folder to make.
    #[arg(long)]
    output: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(line) => match writeln!(std::io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "oci-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String> {
    let product = Product::named(&arguments.name)?;
    let build = Build {
        version: arguments.version.clone(),
        revision: arguments.revision.clone(),
        created: arguments.created.clone(),
    };
    let mut images = Vec::new();
    for (platform, program) in [(Platform::Amd64, &arguments.amd64), (Platform::Arm64, &arguments.arm64)] {
        if let Some(program) = program {
            images.push((platform, product.image(String::new(), program, &build)?));
        }
    }
    ensure!(
        !images.is_empty(),
        "no program: give --amd64 FILE, --arm64 FILE or both"
    );
    let digest = layout::write(&arguments.output, &arguments.version, &images)?;
    Ok(format!("{} {digest}", product.name))
}
