//! What the way to other domains leaves to be done: counts are kept, policies that are over removed, domains told.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::control::{self, Answer};
use super::{Failed, Gateway};
use crate::event::{self, Event};
use crate::mail::{BodyType, Domain, Envelope, Recipient, RequireTls, ReversePath, Utf8};
use crate::net::dns::{Host, NoExchange, Proof, Trouble};
use crate::queue::{Carries, NewEntry};
use crate::store::Fault;
use crate::transform::dkim::Signers;
use crate::transport::report::{Day, Report, Reporter, letter};
use crate::transport::{NoCourse, Strictness, Target, Wanted};

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
        off_thread(move || gateway.base.transport.flush()).await
    }

    async fn tidy_and_tell(self: &Arc<Self>) -> Result<(), Fault> {
        let gateway = self.clone();
        off_thread(move || gateway.base.transport.tidy(gateway.base.clock.certain())).await?;
        self.tell_domains().await
    }

    /// The way to a domain, as it would be taken now.
    pub(super) async fn shown_course(&self, text: &str) -> Answer {
        let Ok(domain) = Domain::parse(text) else {
            return Answer::Trouble { because: format!("\"{text}\" is not a domain\n    write it as in example.org") };
        };
        let wanted = Wanted { domain: &domain, strictness: Strictness::Published };
        let course = tokio::time::timeout(SHOWN_MAX, self.base.transport.course(&wanted, self.base.clock.certain())).await;
        match course.unwrap_or(Err(NoCourse::Exchange(NoExchange::Unknown(Trouble::Silence)))) {
            Err(none) => Answer::Trouble { because: format!("{domain}: {none} ({})", none.status()) },
            Ok(course) => {
                let shown = |target: &Target| control::Target {
                    host: target.host.to_string(),
                    addresses: target.addresses.iter().map(ToString::to_string).collect(),
                    tls: target.tls.to_string(),
                    proven: target.proof == Proof::Secure,
                };
                Answer::Course { targets: course.targets.iter().map(shown).collect() }
            }
        }
    }

    /// Yesterday's reports, to the domains that want them. RFC 8460 §3: signed, or not at all.
    pub(super) async fn tell_domains(self: &Arc<Self>) -> Result<(), Fault> {
        let Some(teller) = self.teller()? else { return Ok(()) };
        let gateway = self.clone();
        let today = Day::of(self.base.clock.certain());
        let reports =
            off_thread(move || gateway.base.transport.tally().map_or(Ok(vec![]), |tally| tally.before(today, REPORTS_MAX))).await?;
        for report in reports {
            let texts = match self.wishes(&report).await {
                Some(texts) => texts,
                None if report.day.is_stale(today) => vec![],
                // DNS may know more in an hour.
                None => continue,
            };
            let (gateway, teller) = (self.clone(), teller.clone());
            off_thread(move || gateway.tell(&report, &teller, &texts)).await?;
        }
        Ok(())
    }

    /// Who tells; nobody while the clock is in doubt, or where nobody could sign for it.
    fn teller(&self) -> Result<Option<Teller>, Fault> {
        if self.base.transport.tally().is_none() || self.base.clock.doubt().is_some() {
            return Ok(None);
        }
        let configuration = self.configuration.load();
        let (house, admd) = (&configuration.house, &configuration.admd);
        let signers = Signers::load(&configuration.path(&configuration.store.dkim)).map_err(|mistakes| Fault(Failed::from(mistakes).0))?;
        let by = Reporter { organisation: house.name.clone(), contact: admd.postmaster.clone(), host: admd.hostname.clone() };
        Ok(signers.can_sign(admd.postmaster.domain()).then(|| Teller { by, signers: Arc::new(signers) }))
    }

    /// What the domain says of reports; none where that is not known.
    async fn wishes(&self, report: &Report) -> Option<Vec<String>> {
        let name = Host::parse(&report.domain)?.service(letter::RECORD)?;
        self.base.transport.resolver().texts(&name).await.ok().map(|answer| answer.value)
    }

    /// The mail first: a report that is told twice is better than one that is not told.
    fn tell(&self, report: &Report, Teller { by, signers }: &Teller, texts: &[String]) -> Result<(), Fault> {
        let to = letter::mailboxes(texts);
        let now = self.base.clock.now();
        if !to.is_empty() {
            let mail = letter::written(report, by, &to, now);
            let signatures = signers.sign(by.contact.domain(), std::slice::from_ref(&mail), now);
            let signatures: Vec<u8> = signatures.iter().flat_map(|field| field.raw().to_vec()).collect();
            let envelope = Envelope {
                reverse_path: ReversePath::Null,
                recipients: to.into_iter().map(Recipient::new).collect(),
                ret: None,
                envelope_id: None,
                body: BodyType::SevenBit,
                utf8: Utf8::No,
                require_tls: RequireTls::No,
            };
            let entry = NewEntry { envelope, body: vec![Bytes::from(signatures), mail], carries: Carries::Nothing };
            self.base.queue.commit(vec![entry], vec![], now)?;
            self.base.relay.wake();
            event::emit(&Event::Upkeep { what: "tls report", result: &format!("a domain is told of {}", report.day) });
        }
        self.base.transport.tally().map_or(Ok(()), |tally| tally.forget(report))
    }
}

/// Who tells domains.
#[derive(Clone)]
struct Teller {
    by: Reporter,
    signers: Arc<Signers>,
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
