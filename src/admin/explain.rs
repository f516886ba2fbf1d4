//! `waxseal explain`: what the gateway would do with a message, for whom, and why.
//!
//! It asks where the gateway asks, in the same order, and changes nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::Failed;
use crate::config::Configuration;
use crate::crypto::KeyRing;
use crate::extract::Extractor;
use crate::gateway;
use crate::intake::{self, Admitted, Threshold};
use crate::mail::{BodyType, Envelope, Mailbox, Message, Recipient, RequireTls, ReversePath, Utf8};
use crate::policy::Facts;
use crate::smtp;
use crate::smtp::reply::{Reply, fixed};
use crate::smtp::users::Identity;

/// Flags of the command.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// The message, as a client would send it.
    pub message: PathBuf,
    /// Its sender.
    #[arg(long)]
    pub from: String,
    /// A recipient; may be given several times.
    #[arg(long, required = true)]
    pub to: Vec<String>,
    /// Who AUTH has proved, by the name in the users file; absent is a client of the relay networks.
    #[arg(long)]
    pub user: Option<String>,
    /// Take it that the way to every recipient is proven, as `tls = "verified"` asks.
    #[arg(long)]
    pub verified: bool,
    /// Also print the text of each part as the rules see it.
    #[arg(long)]
    pub text: bool,
}

/// Decides without sending.
pub fn run(arguments: &Arguments, configuration: &Path, now: Timestamp, out: &mut dyn Write) -> Result<(), Failed> {
    let configuration = Configuration::read(configuration)?;
    let policies = gateway::policies(&configuration)?;
    let octets = std::fs::read(&arguments.message).map_err(|error| Failed(format!("{}: {error}", arguments.message.display())))?;
    let message = Bytes::from(with_crlf(octets));
    let envelope = envelope(arguments)?;
    let extractor = Extractor::new(std::env::current_exe()?, 1);
    let identity = arguments.user.as_ref().map(|name| identity(name, &configuration)).transpose()?;
    let threshold = threshold(&configuration, out)?;
    let admitted = admit(&message, (&envelope, identity.as_ref()), (&configuration.smtp, &threshold));
    let message = Message::parse(message);
    match admitted {
        Err(refused) => writeln!(out, "refused: {refused}")?,
        Ok(Admitted::Foreign) => writeln!(out, "relayed as it is: its author is not of the house, and foreign_from lets that pass")?,
        Ok(Admitted::Ours(wish)) => {
            let (admd, inspection) = (&configuration.admd, policies.inspect(&message, &extractor));
            let verified: Vec<Mailbox> =
                envelope.recipients.iter().map(|to| to.forward_path.clone()).filter(|_| arguments.verified).collect();
            let (envelope, message, inspection, wish, verified) = (&envelope, &message, &inspection, &wish, &verified);
            let facts = Facts { admd, envelope, message, inspection, wish, verified, now };
            if let Some(refusal) = intake::rejected(&policies.decide(&facts)) {
                writeln!(out, "refused: {}", Reply::from(&refusal))?;
            }
            out.write_all(policies.explain(&facts).as_bytes())?;
        }
    }
    if arguments.text {
        write!(out, "{}", policies.texts(&message, &extractor))?;
    }
    Ok(())
}

/// What is said to a message before policy is asked.
fn admit(
    octets: &Bytes,
    (envelope, identity): (&Envelope, Option<&Identity>),
    (options, threshold): (&smtp::Options, &Threshold),
) -> Result<Admitted, Reply> {
    smtp::judge_sender(&envelope.reverse_path, (&threshold.admd, threshold.foreign_from), identity)?;
    if octets.len() as u64 > options.message_size {
        return Err(fixed::TOO_BIG.into());
    }
    smtp::judge_header(octets)?;
    threshold.admit(&Message::parse(octets.clone()), envelope, identity).map_err(|refusal| Reply::from(&refusal))
}

fn identity(name: &str, configuration: &Configuration) -> Result<Identity, Failed> {
    let known = gateway::users(configuration)?.and_then(|users| users.identity(name));
    known.ok_or_else(|| Failed(format!("\"{name}\" is not in the users file\n    `waxseal user add` writes it")))
}

/// As the gateway has it. Who may not read its keys hears everything but what a loop is known by.
fn threshold(configuration: &Configuration, out: &mut dyn Write) -> Result<Threshold, Failed> {
    let ring = match gateway::ring(configuration) {
        Ok((ring, _)) => ring,
        Err(Failed(why)) => {
            writeln!(out, "loops are not looked for: {}", why.lines().next().unwrap_or_default())?;
            // Nothing was ever proved with keys that nobody has used.
            KeyRing::generate()
        }
    };
    Ok(gateway::threshold(configuration, &ring))
}

fn envelope(arguments: &Arguments) -> Result<Envelope, Failed> {
    let reverse_path = match arguments.from.as_str() {
        "" | "<>" => ReversePath::Null,
        text => ReversePath::Mailbox(parse(text)?),
    };
    let recipients = arguments.to.iter().map(|text| parse(text).map(Recipient::new)).collect::<Result<_, _>>()?;
    Ok(Envelope {
        reverse_path,
        recipients,
        ret: None,
        envelope_id: None,
        body: BodyType::EightBitMime,
        utf8: Utf8::Yes,
        require_tls: RequireTls::No,
    })
}

fn parse(text: &str) -> Result<Mailbox, Failed> {
    Mailbox::parse(text).map_err(|bad| Failed(format!("\"{text}\": {bad}")))
}

/// A file on disk often has bare line feeds; on the wire there are none.
fn with_crlf(octets: Vec<u8>) -> Vec<u8> {
    let mut wire = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut previous = 0;
    for octet in octets {
        if octet == b'\n' && previous != b'\r' {
            wire.push(b'\r');
        }
        wire.push(octet);
        previous = octet;
    }
    wire
}
