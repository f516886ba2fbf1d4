//! Arguments → command; exit codes: 0 done, 1 not done (standard error says why), 2 wrong usage.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waxseal::admin::{self, Failed};
use waxseal::{config, extract, gateway};

// Many threads with large, short-lived buffers: it keeps fragmentation and page faults low.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A mail-security gateway: what policy protects leaves as a link into an encrypted store.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, default_value = "waxseal.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a working set-up into a directory.
    Init(admin::init::Arguments),
    /// Run the gateway.
    Serve(admin::serve::Arguments),
    /// Show the whole product on this machine, with nothing else.
    Demo(admin::demo::Arguments),
    /// Read every file and say all that is wrong.
    Check,
    /// Say what is wrong around the gateway, and how to mend it.
    Doctor(admin::doctor::Arguments),
    /// Say what the gateway would do with a message, and why.
    Explain(admin::explain::Arguments),
    /// Bring the key-encryption key back from the recovery sheet.
    Recover(admin::recover::Arguments),
    /// Look at what waits, and act on it.
    #[command(subcommand)]
    Queue(admin::queue::Verb),
    /// Have the running gateway read its configuration, rules, policies, users and certificates again.
    Reload,
    /// Turn new mail away until the queue is empty, as before taking the gateway away.
    Drain(admin::running::Drain),
    /// Copy the store of the running gateway.
    Backup(admin::backup::Arguments),
    /// Make a store of a backup.
    Restore(admin::backup::Restore),
    /// Show the way to a domain's mail servers, and how TLS with each must look.
    Route {
        /// The domain.
        domain: String,
    },
    /// Tell domains now what came of TLS with their mail servers on the days before, instead of within the hour.
    TlsReports,
    /// The machine's clock, when it has jumped.
    #[command(subcommand)]
    Clock(admin::running::Clock),
    /// People who may submit mail with a password.
    #[command(subcommand)]
    User(admin::user::Verb),
    /// The keys that everything is sealed with.
    #[command(subcommand)]
    Keys(admin::keys::Verb),
    /// The configuration.
    #[command(subcommand)]
    Config(Config),
    /// Read attachments from standard input; started by the gateway alone.
    #[command(hide = true)]
    ExtractWorker,
}

#[derive(Subcommand)]
enum Config {
    /// Print every option with its meaning and default.
    Describe,
}

fn main() -> ExitCode {
    // The allocator asks for huge pages, and the system clears two megabytes for the first octet of each:
    // more than half of the work for a message of 100 KB. A kernel that knows no such switch has no need of it.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::ExtractWorker) {
        return extract::worker();
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            let _ = writeln!(std::io::stderr(), "{failed}");
            ExitCode::FAILURE
        }
    }
}

/// Standard output. Whoever closes it (`| head`) has read enough: that is an end, not a trouble.
struct Out(std::io::Stdout);

impl Write for Out {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(octets);
        if written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            std::process::exit(0);
        }
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn run(arguments: &Arguments) -> Result<(), Failed> {
    let path = arguments.config.as_path();
    let out = &mut Out(std::io::stdout());
    let clock = gateway::clock();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match &arguments.command {
        Command::Init(arguments) => admin::init::run(arguments, out),
        Command::Serve(arguments) => runtime.block_on(admin::serve::run(arguments, path, clock)),
        Command::Demo(arguments) => runtime.block_on(admin::demo::run(arguments, clock, out)),
        Command::Check => admin::check::run(path, out),
        Command::Doctor(arguments) => runtime.block_on(admin::doctor::run(arguments, path, clock.now(), out)),
        Command::Explain(arguments) => admin::explain::run(arguments, path, clock.now(), out),
        Command::Recover(arguments) => admin::recover::run(arguments, path, out),
        Command::Queue(verb) => runtime.block_on(admin::queue::run(verb, path, out)),
        Command::Reload => runtime.block_on(admin::running::reload(path, out)),
        Command::Drain(flags) => runtime.block_on(admin::running::drain(*flags, path, out)),
        Command::Backup(arguments) => runtime.block_on(admin::backup::run(arguments, path, out)),
        Command::Restore(arguments) => admin::backup::restore(arguments, path, clock.now(), out),
        Command::Route { domain } => runtime.block_on(admin::running::route(domain, path, out)),
        Command::TlsReports => runtime.block_on(admin::running::tls_reports(path)),
        Command::Clock(verb) => runtime.block_on(admin::running::clock(*verb, path, out)),
        Command::User(verb) => admin::user::run(verb, path, out),
        Command::Keys(verb) => admin::keys::run(*verb, path, out),
        Command::Config(Config::Describe) => Ok(out.write_all(config::describe().as_bytes())?),
        Command::ExtractWorker => Ok(()),
    }
}
