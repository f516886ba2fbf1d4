//! Any text is an address or not; one that is reads the same when it is written, and cannot leave its brackets.
#![no_main]

use waxseal::mail::Mailbox;
use waxseal::smtp::command::Command;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(mailbox) = Mailbox::parse(text) {
        let written = mailbox.to_string();
        assert_eq!(Mailbox::parse(&written).as_ref(), Ok(&mailbox), "{written:?}");
        assert!(!written.chars().any(char::is_control), "{written:?}");
        let command = Command::parse(format!("MAIL FROM:<{written}> SMTPUTF8").as_bytes());
        assert!(matches!(&command, Ok(Command::Mail(mail)) if mail.reverse_path.mailbox() == Some(&mailbox)), "{command:?}");
    }
});
