//! What policy calls an attachment is what rewriting takes out: one definition, seen from both ends.

use bytes::Bytes;
use waxseal::mail::Message;
use waxseal::mail::nature::Natures;
use waxseal::mail::sealed::{Secrecy, secrecy};
use waxseal::policy::Protection;

use super::pipeline::{Fate, fate};

#[test]
fn every_file_of_every_mail_is_an_attachment_for_policy_and_goes_behind_the_link() {
    for (name, octets) in crate::corpus::mails() {
        let message = Message::parse(Bytes::from(octets.clone()));
        let natures = Natures::of(&message);
        let encrypted = |id: &waxseal::mail::PartId| message.part(*id).is_some_and(|part| secrecy(&message, part) == Secrecy::Sealed);
        let within = message.parts().into_iter().filter(|part| secrecy(&message, part) == Secrecy::Sealed);
        let within: Vec<_> = within.flat_map(|part| part.children.iter().map(|child| child.id)).collect();
        let files: Vec<_> = natures.files().filter(|id| !encrypted(id) && !within.contains(id)).collect();
        let Fate { inspection, decisions, sent, sealed } = fate(&octets);
        let seen: Vec<_> = inspection.attachments.iter().map(|file| file.part).collect();
        assert_eq!(files, seen, "{name}");
        if files.is_empty() {
            continue;
        }
        assert!(decisions.iter().all(|decision| decision.verdict.protection >= Protection::SecureFiles), "{name}");
        assert!(!sealed.is_empty(), "{name}");
        for id in files {
            let raw = message.body(message.part(id).unwrap());
            let long: Vec<&[u8]> =
                raw.split(|&octet| octet == b'\n').map(|line| line.trim_ascii()).filter(|line| line.len() > 40).collect();
            // Another part may say the same.
            let alone = |line: &&[u8]| octets.windows(line.len()).filter(|window| window == line).count() == 1;
            let long: Vec<&[u8]> = long.into_iter().filter(alone).collect();
            for (line, sent) in long.iter().flat_map(|line| sent.iter().map(move |sent| (line, sent))) {
                let left = sent.windows(line.len()).any(|window| window == *line);
                assert!(!left, "{name}: {}", String::from_utf8_lossy(line));
            }
        }
    }
}
