//! What the way to other domains leaves to be done: counts are kept, policies that are over removed, domains told.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Gateway;
use super::control::{Answer, Hop};
use crate::event::{self, Event};
use crate::mail::{BodyType, Domain, Envelope, Recipient, ReversePath, Utf8};
use crate::net::dns::{Host, NoExchange, Proof, Trouble};
use crate::queue::{Carries, NewEntry};
use crate::store::Fault;
use crate::transport::report::{Day, Report, Reporter, letter};
use crate::transport::{NoCourse, SMTP, Strictness, Target, Wanted};

impl Gateway {
    /// Every minute counts are put with the records, and once more at the end; every hour the rest is done.
    pub(super) async fn keep_counts(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let minutes = async {
            for minute in 1_u64.. {
                tokio::time::sleep(MINUTE).await;
                let kept = if minute.is_multiple_of(HOUR) { self.tidy_and_tell().await } else { self.flush_counts().await };
                report(kept);
            }
        };
        tokio::select! {
            () = stop => {}
            () = minutes => {}
        }
        report(self.flush_counts().await);
    }

    async fn flush_counts(self: &Arc<Self>) -> Result<(), Fault> {
        let gateway = self.clone();
        off_thread(move || gateway.transport.flush()).await
    }

    async fn tidy_and_tell(self: &Arc<Self>) -> Result<(), Fault> {
        let gateway = self.clone();
        off_thread(move || gateway.transport.tidy(gateway.clock.certain())).await?;
        self.tell_domains().await
    }

    /// The way to a domain, as it would be taken now.
    pub(super) async fn shown_way(&self, text: &str) -> Answer {
        let Ok(domain) = Domain::parse(text) else {
            return Answer::Trouble { because: format!("\"{text}\" is not a domain\n    write it as in example.org") };
        };
        let wanted = Wanted { domain: &domain, port: SMTP, strictness: Strictness::Published };
        let course = tokio::time::timeout(SHOWN_MAX, self.transport.course(&wanted, self.clock.certain())).await;
        match course.unwrap_or(Err(NoCourse::Exchange(NoExchange::Unknown(Trouble::Silence)))) {
            Err(none) => Answer::Trouble { because: format!("{domain}: {none} ({})", none.status()) },
            Ok(course) => {
                let hop = |target: &Target| Hop {
                    host: target.host.to_string(),
                    addresses: target.addresses.iter().map(ToString::to_string).collect(),
                    tls: target.tls.to_string(),
                    proven: target.proof == Proof::Secure,
                };
                Answer::Way { hops: course.targets.iter().map(hop).collect() }
            }
        }
    }

    /// Yesterday's reports, to the domains that want them. RFC 8460 §3: signed, or not at all.
    pub(super) async fn tell_domains(self: &Arc<Self>) -> Result<(), Fault> {
        let admd = &self.configuration.admd;
        let domain = admd.postmaster.domain();
        if self.transport.tally().is_none() || self.clock.doubt().is_some() || !self.signers.can_sign(domain) {
            return Ok(());
        }
        let by =
            Reporter { organisation: self.configuration.house.name.clone(), contact: admd.postmaster.clone(), host: admd.hostname.clone() };
        let gateway = self.clone();
        let today = Day::of(self.clock.certain());
        let reports = off_thread(move || gateway.transport.tally().map_or(Ok(vec![]), |tally| tally.before(today, REPORTS_MAX))).await?;
        for report in reports {
            let texts = match self.wishes(&report).await {
                Some(texts) => texts,
                None if report.day.is_stale(today) => vec![],
                // DNS may know more in an hour.
                None => continue,
            };
            let (gateway, by) = (self.clone(), by.clone());
            off_thread(move || gateway.tell(&report, &by, &texts)).await?;
        }
        Ok(())
    }

    /// What the domain says of reports; none where that is not known.
    async fn wishes(&self, report: &Report) -> Option<Vec<String>> {
        let name = Host::parse(&report.domain)?.service(letter::RECORD)?;
        self.transport.resolver().texts(&name).await.ok().map(|answer| answer.value)
    }

    /// The mail first: a report that is told twice is better than one that is not told.
    fn tell(&self, report: &Report, by: &Reporter, texts: &[String]) -> Result<(), Fault> {
        let to = letter::mailboxes(texts);
        let now = self.clock.now();
        if !to.is_empty() {
            let mail = letter::written(report, by, &to, now);
            let signatures = self.signers.sign(by.contact.domain(), std::slice::from_ref(&mail), now);
            let signatures: Vec<u8> = signatures.iter().flat_map(|field| field.raw().to_vec()).collect();
            let envelope = Envelope {
                reverse_path: ReversePath::Null,
                recipients: to.into_iter().map(Recipient::new).collect(),
                ret: None,
                envelope_id: None,
                body: BodyType::SevenBit,
                utf8: Utf8::No,
            };
            let entry = NewEntry { envelope, body: vec![Bytes::from(signatures), mail], carries: Carries::Nothing };
            self.queue.commit(vec![entry], vec![], now)?;
            self.relay.wake();
            event::emit(&Event::Upkeep { what: "tls report", result: &format!("{} told of {}", report.domain, report.day) });
        }
        self.transport.tally().map_or(Ok(()), |tally| tally.forget(report))
    }
}

fn report(done: Result<(), Fault>) {
    if let Err(fault) = done {
        event::emit(&Event::Trouble { place: "transport", fault: &fault.0 });
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(Fault(ended.to_string())))
}

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes.
const HOUR: u64 = 60;
/// An operator waits no longer, and the socket is not held longer.
const SHOWN_MAX: Duration = Duration::from_secs(25);
/// Domains that are told in one hour.
const REPORTS_MAX: usize = 500;
