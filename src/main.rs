//! Trunkline: a multi-tenant event engine. This is the edge: the command line, the configuration and HTTP.

mod assemble;
mod cli;
mod clock;
mod config;
mod devices;
mod first_start;
mod http;
mod logging;
mod metrics;
mod scheduling;
mod shutdown;
mod tls;

use std::process::ExitCode;

/// Many small allocations of many threads, most of them short: what this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Every TLS connection, in or out, uses the process's provider; a second one cannot be installed.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("trunkline: another provider of cryptography is installed already");
        return ExitCode::FAILURE;
    }
    cli::run()
}
