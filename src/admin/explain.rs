//! `waxseal explain`: what policy would do with a message, for whom, and why.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::Failed;
use crate::config::Configuration;
use crate::extract::Extractor;
use crate::gateway;
use crate::mail::{BodyType, Envelope, Mailbox, Message, Recipient, ReversePath, Utf8, decode};
use crate::policy::{Facts, Wish};

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
    /// Also print the text of each part as the rules see it.
    #[arg(long)]
    pub text: bool,
}

/// Decides without sending.
pub fn run(arguments: &Arguments, configuration: &Path, now: Timestamp, out: &mut dyn Write) -> Result<(), Failed> {
    let configuration = Configuration::read(configuration)?;
    let policies = gateway::policies(&configuration)?;
    let octets = std::fs::read(&arguments.message).map_err(|error| Failed(format!("{}: {error}", arguments.message.display())))?;
    let message = Message::parse(Bytes::from(with_crlf(octets)));
    let envelope = envelope(arguments)?;
    let extractor = Extractor::new(std::env::current_exe()?, 1);
    let subject = message.header().first("Subject").map(|field| decode::unstructured(&field.value())).unwrap_or_default();
    let wish = Wish::parse(&subject);
    let inspection = policies.inspect(&message, &extractor);
    let facts = Facts { admd: &configuration.admd, envelope: &envelope, message: &message, inspection: &inspection, wish: &wish, now };
    out.write_all(policies.explain(&facts).as_bytes())?;
    if arguments.text {
        write!(out, "{}", policies.texts(&message, &extractor))?;
    }
    Ok(())
}

fn envelope(arguments: &Arguments) -> Result<Envelope, Failed> {
    let reverse_path = match arguments.from.as_str() {
        "" | "<>" => ReversePath::Null,
        text => ReversePath::Mailbox(parse(text)?),
    };
    let recipients = arguments.to.iter().map(|text| parse(text).map(Recipient::new)).collect::<Result<_, _>>()?;
    Ok(Envelope { reverse_path, recipients, ret: None, envelope_id: None, body: BodyType::EightBitMime, utf8: Utf8::Yes })
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
