//! The reference of all options, printed from their declarations.

use super::{
    CertificateOptions, CloudOptions, Described, House, Log, Store, channel, dns, monitor, policy, queue, relay, smtp, transport, web,
};

/// The reference as Markdown: one table a section.
pub fn describe() -> String {
    let sections: [(&str, &str, Vec<Described>); 15] = [
        ("[house]", "The organisation served.", House::describe()),
        ("[smtp]", "Mail in.", smtp::Options::describe()),
        (
            "[[smtp.certificates]]",
            "Clients that may send without AUTH when they show a certificate in STARTTLS or on `listen_tls`; what else is asked of relay networks is asked of them.",
            CertificateOptions::describe(),
        ),
        (
            "[[smtp.clouds]]",
            "Shared clouds that your mail comes from. Such a client may send when its certificate has the name, the message carries one of the fields exactly once, and sender and From are of your domains. Its networks give nothing else.",
            CloudOptions::describe(),
        ),
        ("[relay]", "Where mail goes next.", relay::Options::describe()),
        (
            "[[relay.routes]]",
            "Ways of their own for some mail: the first route that fits a recipient counts, `[relay]` takes the rest.",
            relay::RouteOptions::describe(),
        ),
        ("[transport]", "How mail travels to other domains' mail servers.", transport::Options::describe()),
        ("[dns]", "Names to addresses.", dns::Options::describe()),
        ("[web]", "The pages that links open.", web::Options::describe()),
        ("[channel]", "What recipients do with a link.", channel::Options::describe()),
        ("[policy]", "Defaults and limits of all policies.", policy::Options::describe()),
        ("[queue]", "How long and how often mail is tried again.", queue::Options::describe()),
        ("[store]", "Where state, keys, rules and policies are kept.", Store::describe()),
        ("[admin]", "Metrics, health and an overview, for the operator's machines and eyes.", monitor::Options::describe()),
        ("[log]", "One line for each fate, with its ids.", Log::describe()),
    ];
    let mut text = String::new();
    for (name, about, options) in sections {
        text.push_str(&format!("### `{name}`\n\n{about}\n\n| option | default | meaning |\n|---|---|---|\n"));
        for option in options {
            let default = if option.default.is_empty() { String::from("–") } else { format!("`{}`", option.default) };
            text.push_str(&format!("| `{}` | {default} | {} |\n", option.key, option.doc.replace('|', "\\|")));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
