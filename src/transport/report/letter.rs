//! The mail that carries a report, and where it goes. RFC 8460 §3, §5.3.

use std::io::Write;

use bytes::Bytes;
use data_encoding::BASE64_MIME;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use super::{Report, Reporter};
use crate::crypto::random;
use crate::mail::Mailbox;
use crate::mail::compose::{self, Content, HeaderText};

/// The mailboxes that a domain wants its reports in, by the one record that says so; web addresses are passed over.
pub fn mailboxes(texts: &[String]) -> Vec<Mailbox> {
    let mut records = texts.iter().filter_map(|text| text.strip_prefix("v=TLSRPTv1")?.trim_ascii_start().strip_prefix(';'));
    // RFC 8460 §3: more than one record says nothing.
    let (Some(record), None) = (records.next(), records.next()) else { return vec![] };
    let addresses = record.split(';').find_map(|field| field.trim_ascii().strip_prefix("rua=")).unwrap_or_default();
    let mailboxes = addresses.split(',').filter_map(|address| Mailbox::parse(&decoded(address.trim_ascii().strip_prefix("mailto:")?)).ok());
    mailboxes.take(MAILBOXES_MAX).collect()
}

/// RFC 6068 §2: what would end an address is written as its octet; what follows a question mark is no part of it.
fn decoded(address: &str) -> String {
    let address = address.split('?').next().unwrap_or_default();
    let mut pieces = address.split('%');
    let mut octets = Vec::from(pieces.next().unwrap_or_default());
    for piece in pieces {
        match piece.split_at_checked(2).map(|(hex, rest)| (u8::from_str_radix(hex, 16), rest)) {
            Some((Ok(octet), rest)) => {
                octets.push(octet);
                octets.extend_from_slice(rest.as_bytes());
            }
            _ => octets.extend([b"%", piece.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// The whole mail, still to be signed.
pub fn written(report: &Report, by: &Reporter, to: &[Mailbox], now: Timestamp) -> Bytes {
    let seed: [u8; 16] = random::array();
    let id = report.id(by);
    let subject = format!("Report Domain: {} Submitter: {} Report-ID: <{id}>", report.domain, by.contact.domain());
    let to: Vec<_> = to.iter().map(|mailbox| (None, mailbox.clone())).collect();
    let text = |text: &str| HeaderText::new(text);
    let fields = vec![
        compose::date(now),
        compose::addresses("From", &[(None, by.contact.clone())]),
        compose::addresses("To", &to),
        compose::unstructured("Subject", &text(&subject)),
        compose::structured("Message-ID", &text(&format!("<{}@{}>", data_encoding::HEXLOWER.encode(&seed), by.host))),
        compose::structured("TLS-Report-Domain", &text(&report.domain)),
        compose::structured("TLS-Report-Submitter", &text(by.contact.domain().as_str())),
        // RFC 8460 §3: a report about TLS that fails must not wait for TLS. RFC 8689 §5 says so to those on the way.
        compose::structured("TLS-Required", &text("No")),
        compose::structured("Auto-Submitted", &text("auto-generated")),
    ];
    let words = format!(
        "This is a report about TLS (RFC 8460): what came of it with the mail servers of {} on {}.\r\n\r\nQuestions: {}\r\n",
        report.domain, report.day, by.contact
    );
    let parts = vec![Content::Text { subtype: "plain", text: words }, Content::Raw(attachment(report, by))];
    let parameters = vec![("report-type", text("tlsrpt"))];
    compose::message(fields, Content::Multipart { subtype: "report", parameters, parts }, &seed)
}

fn attachment(report: &Report, by: &Reporter) -> Bytes {
    let [begin, end] = report.day.bounds().map(|time| time.as_second());
    let name = format!("{}!{}!{begin}!{end}.json.gz", by.host, report.domain);
    let mut part = Vec::new();
    let parameters = [("name", HeaderText::new(&name))];
    part.extend_from_slice(compose::parameterised("Content-Type", &HeaderText::new("application/tlsrpt+gzip"), &parameters).raw());
    part.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n");
    let parameters = [("filename", HeaderText::new(&name))];
    part.extend_from_slice(compose::parameterised("Content-Disposition", &HeaderText::new("attachment"), &parameters).raw());
    part.extend_from_slice(b"\r\n");
    part.extend_from_slice(BASE64_MIME.encode(&packed(&report.text(by))).as_bytes());
    Bytes::from(part)
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    // Memory takes everything.
    let _ = packer.write_all(text.as_bytes());
    packer.finish().unwrap_or_default()
}

/// Where a domain says so. RFC 8460 §3.
pub const RECORD: &str = "_smtp._tls";
/// Places that one domain may name.
const MAILBOXES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::{Applied, Day, Sums};
    use super::*;
    use crate::mail::{Domain, Message};

    #[test]
    fn one_record_says_where_reports_go() {
        for (texts, expect) in [
            (&["v=TLSRPTv1; rua=mailto:reports@example.com"][..], "reports@example.com"),
            (&["v=TLSRPTv1;rua=https://reporting.example.com/v1/tlsrpt, mailto:a%2Bb@example.com?subject=x;"], "a+b@example.com"),
            (&["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@b.example,mailto:c@d.example"], "a@b.example c@d.example"),
            (&["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:a@b.example"], ""),
            (&["v=TLSRPTv1; rua=mailto:a%0d%0aTo:x@b.example"], ""),
            (&["v=TLSRPTv1; rua=mailto:%zz"], ""),
            (&["v=TLSRPTv12; rua=mailto:a@b.example"], ""),
            (&[], ""),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let shown: Vec<String> = mailboxes(&texts).iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(" "), expect, "{texts:?}");
        }
    }

    #[test]
    fn the_mail_holds_the_report_packed() {
        let by = Reporter {
            organisation: "Example".into(),
            contact: Mailbox::parse("postmaster@example.org").unwrap(),
            host: Domain::parse("mail.example.org").unwrap(),
        };
        let now = "2026-11-28T05:00:00Z".parse::<Timestamp>().unwrap();
        let day = Day::of("2026-11-27T05:00:00Z".parse::<Timestamp>().unwrap());
        let report = Report { domain: "example.com".into(), day, policies: vec![(Applied::default(), Sums::default())] };
        let mail = written(&report, &by, &[Mailbox::parse("tls@example.com").unwrap()], now);
        let message = Message::parse(mail.clone());
        let shown = String::from_utf8_lossy(&mail);
        for field in ["Content-Type: multipart/report; report-type=tlsrpt;", "TLS-Report-Domain: example.com", "TLS-Required: No"] {
            assert!(shown.contains(field), "{field}: {shown}");
        }
        let name = "mail.example.org!example.com!1795737600!1795823999.json.gz";
        assert!(shown.contains(name), "{shown}");
        assert!(message.ambiguities().is_empty(), "{:?}", message.ambiguities());
        let parts = message.parts();
        let mut text = String::new();
        flate2::read::GzDecoder::new(message.content(parts.last().unwrap())).read_to_string(&mut text).unwrap();
        assert_eq!(text, report.text(&by));
    }
}
