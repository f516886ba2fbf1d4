//! The driver that gives sessions a socket: listeners, timeouts, messages, the graceful end.
//!
//! Every wait has an end here, and every end its reply. What is said and in which order is not
//! decided here: that is `session`. What becomes of a message is not either: that is the [`Intake`].
//!
//! RFC 5321 §3.8, §4.5.3.2; RFC 2920 (one write for a pipelined batch).

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::framing::{Line, take_line};
use super::options::Options;
use super::reception::Reception;
use super::reply::{Reply, fixed};
use super::rights::{Rights, contain};
use super::sasl::Claim;
use super::session::{Act, House, LINE_MAX, Offer, Session};
use super::users::{Users, Verdict};
use super::wire::Wire;
use super::{Intake, receive};
use crate::clock::Clock;
use crate::event::meter::Connected;
use crate::event::{Event, emit};
use crate::failpoint;
use crate::mail::{Admd, Envelope};
use crate::net::descriptors::Shares;
use crate::net::peers::{Peers, Seat};
use crate::net::proxy_header::{self, NoHeader, Spoken};

/// Takes SMTP connections for one intake.
pub struct Server<I> {
    pub(super) intake: Arc<I>,
    pub(super) house: Arc<House>,
    pub(super) reception: Arc<Reception>,
    pub(super) clock: Clock,
    users: Option<Arc<Users>>,
    tls: Option<TlsAcceptor>,
    peers: Arc<Peers>,
    doors: watch::Sender<Doors>,
}

/// Whether new mail is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Doors {
    /// It is.
    #[default]
    Open,
    /// Connections get a 421, open sessions the same once their message is through.
    Closed,
}

/// What a server works with.
#[derive(Debug)]
pub struct Setup {
    /// Which domains are ours, and our name.
    pub admd: Admd,
    /// Limits, and whom to believe.
    pub options: Options,
    /// Who may relay without AUTH.
    pub rights: Arc<ArcSwap<Rights>>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Who may send after AUTH.
    pub users: Option<Arc<Users>>,
    /// Certificates; without them there is neither STARTTLS nor AUTH.
    pub tls: Option<Arc<ServerConfig>>,
    /// Where large messages lie while they come in.
    pub spool: PathBuf,
}

/// How connections of a listener begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// In the clear, with STARTTLS to be had.
    Plain,
    /// Under TLS from the first octet. RFC 8314 §3.
    Tls,
}

/// Why a conversation is over.
pub(super) enum Hangup {
    /// With these words.
    Saying(Reply),
    /// The client went, or does not listen.
    Gone,
}

impl From<std::io::Error> for Hangup {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// A connection that has a place.
struct Guest {
    stream: TcpStream,
    /// Whose socket it is: the client's, or that of a proxy of ours.
    peer: IpAddr,
    start: Start,
    stay: Stay,
}

/// A connection's place, when its session is over at the latest, and since when the gateway stops.
pub(super) struct Stay {
    seat: Seat,
    pub(super) ends: Instant,
    doors: watch::Receiver<Doors>,
    drain: Duration,
    stopping: watch::Receiver<Option<Instant>>,
}

impl<I: Intake> Server<I> {
    /// A server; it runs when it is given listeners.
    pub fn new(intake: Arc<I>, setup: Setup) -> Arc<Self> {
        let Setup { admd, options, rights, clock, users, tls, spool } = setup;
        let offer = |is_there| if is_there { Offer::Yes } else { Offer::No };
        let peers = Peers::new(options.connections_per_address, options.connections.min(Shares::now().sessions));
        let house = House { admd, options, rights, tls: offer(tls.is_some()), auth: offer(users.is_some() && tls.is_some()) };
        let (tls, reception) = (tls.map(TlsAcceptor::from), Reception::new(spool));
        Arc::new(Self { intake, house: Arc::new(house), reception, clock, users, tls, peers, doors: watch::Sender::default() })
    }

    /// Opens or closes the doors of all listeners.
    pub fn set_doors(&self, doors: Doors) {
        self.doors.send_replace(doors);
    }

    /// Whether new mail is taken.
    pub fn doors(&self) -> Doors {
        *self.doors.borrow()
    }

    /// Takes connections until `stop`. Then every open session hears 421: at once where none of its messages is under
    /// way, after the drain time where one is and does not come to its end.
    pub async fn run(self: Arc<Self>, listener: TcpListener, start: Start, stop: impl Future<Output = ()> + Send) {
        announce(&listener, start);
        let (stopping, told) = watch::channel(None);
        let mut sessions = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = sessions.join_next() => {}
                taken = listener.accept() => match taken {
                    Ok((stream, peer)) => {
                        failpoint::reach("smtp.accept");
                        let peer = peer.ip().to_canonical();
                        if let Some(seat) = self.admit(&stream, peer) {
                            let guest = Guest { stream, peer, start, stay: self.stay(seat, told.clone()) };
                            sessions.spawn(Arc::clone(&self).serve(guest));
                        }
                    }
                    // Out of descriptors as a rule: sessions that end give some back.
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        drop(listener);
        let _ = stopping.send(Some(Instant::now()));
        let drained = timeout(self.drain() + REPLY_GRACE + LINGER + SLACK, async { while sessions.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            sessions.shutdown().await;
        }
    }

    /// A place for a connection. Who speaks for others has as many as there are: what counts is for whom.
    fn admit(&self, stream: &TcpStream, peer: IpAddr) -> Option<Seat> {
        if self.doors() == Doors::Closed {
            turn_away(stream, fixed::GOING_DOWN);
            return None;
        }
        let named = contain(&self.house.options.proxy_networks, peer) || contain(&self.house.options.xclient_networks, peer);
        let seat = if named { self.peers.admit_proxy() } else { self.peers.admit(peer) };
        seat.map_err(|surplus| turn_away(stream, surplus)).ok()
    }

    fn stay(&self, seat: Seat, stopping: watch::Receiver<Option<Instant>>) -> Stay {
        let ends = Instant::now() + Duration::from_secs(self.house.options.session_timeout);
        Stay { seat, ends, drain: self.drain(), stopping, doors: self.doors.subscribe() }
    }

    fn drain(&self) -> Duration {
        Duration::from_secs(self.house.options.drain_seconds)
    }

    /// One connection from its first octet to its last.
    async fn serve(self: Arc<Self>, guest: Guest) {
        let Guest { mut stream, peer, start, mut stay } = guest;
        let _connected = Connected::new("smtp");
        // One write per reply or batch: waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        let Some(client) = self.client(&mut stream, peer, &mut stay.seat).await else { return };
        let (session, banner) = Session::open(Arc::clone(&self.house), client);
        match start {
            Start::Plain => self.serve_plain(stream, (session, banner), &mut stay).await,
            Start::Tls => Box::pin(self.serve_tls(stream, (session, Some(banner)), &mut stay)).await,
        }
    }

    /// Where the client is. A proxy of ours says so before anything else, and a connection of which it does not is closed.
    async fn client(&self, stream: &mut TcpStream, peer: IpAddr, seat: &mut Seat) -> Option<IpAddr> {
        if !contain(&self.house.options.proxy_networks, peer) {
            return Some(peer);
        }
        match proxy_header::read(stream).await {
            Ok(Spoken::Own) => Some(peer),
            Ok(Spoken::For(client)) => match seat.assign(client.ip()) {
                Ok(()) => Some(client.ip()),
                Err(surplus) => {
                    turn_away(stream, surplus);
                    None
                }
            },
            // Proxies that look whether the port is open do so every few seconds.
            Err(NoHeader::Gone) => None,
            Err(missing @ (NoHeader::Late | NoHeader::Malformed)) => {
                emit(&Event::Refused { status: "5.5.2", because: missing.words() });
                None
            }
        }
    }

    async fn serve_plain(&self, stream: TcpStream, (session, banner): (Session, Reply), stay: &mut Stay) {
        let mut wire = Wire::new(stream);
        if spoke_already(wire.stream()) {
            return hang_up(wire, Hangup::Saying(fixed::SPOKE_TOO_SOON.into())).await;
        }
        wire.say(&banner);
        let (session, ready) = match Box::pin(self.converse(&mut wire, session, stay)).await {
            Ok(turning) => turning,
            Err(hangup) => return hang_up(wire, hangup).await,
        };
        // RFC 3207 §4.2, and the injections of 2011: what came behind STARTTLS is never read after the handshake. What came before
        // it in the same batch was answered, as RFC 2920 §3.1 has it.
        if !wire.input.is_empty() {
            return hang_up(wire, Hangup::Saying(fixed::SPOKE_TOO_SOON.into())).await;
        }
        wire.say(&ready);
        if timeout(LINGER, wire.flush()).await.is_ok_and(|flushed| flushed.is_ok())
            && let Ok(stream) = wire.into_bare()
        {
            Box::pin(self.serve_tls(stream, (session, None), stay)).await;
        }
    }

    /// The handshake, and what comes after it. The banner is said by who has not said it in the clear.
    async fn serve_tls(&self, stream: TcpStream, (session, banner): (Session, Option<Reply>), stay: &mut Stay) {
        let Some(tls) = &self.tls else { return };
        let patience = Duration::from_secs(self.house.options.stranger_timeout);
        // Within a handshake nobody can be told anything.
        let handshake = stay.before(Call::Octets, timeout(patience, tls.accept(stream)));
        let Ok(Ok(Ok(stream))) = handshake.await else { return };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let standing = self.house.rights.load().of_certificate(session.address(), shown, self.clock.now());
        let mut wire = Wire::new(stream);
        if let Some(banner) = banner {
            wire.say(&banner);
        }
        if let Err(hangup) = self.converse(&mut wire, session.secured(standing), stay).await {
            hang_up(wire, hangup).await;
        }
    }

    /// The command loop: a line, what the session makes of it, what that asks for. Ends with STARTTLS and the reply to it, or with a hang-up.
    async fn converse<S: Stream>(&self, wire: &mut Wire<S>, mut session: Session, stay: &mut Stay) -> Result<(Session, Reply), Hangup> {
        loop {
            let line = self.next_line(wire, &session, stay).await?;
            failpoint::reach("smtp.command");
            let (next, act) = self.settled(session.on(line, &|size| self.intake.has_room(size)), stay).await?;
            session = next;
            match act {
                Act::Reply(reply) => {
                    if reply.is_error() && session.is_a_nuisance() {
                        stay.delay(Duration::from_secs(self.house.options.error_delay)).await?;
                    }
                    wire.say(&reply);
                }
                Act::Receive(go_ahead, envelope) => {
                    let reply = self.message(wire, (&session, go_ahead, envelope), stay).await?;
                    wire.say(&reply);
                }
                Act::Move(banner, address) => {
                    stay.seat.assign(address).map_err(|surplus| Hangup::Saying(surplus.into()))?;
                    wire.say(&banner);
                }
                Act::StartTls(ready) => return Ok((session, ready)),
                // `settled` leaves no claim unchecked; if it did, nobody would be let in.
                Act::Verify(_) => return Err(Hangup::Gone),
                Act::Close(reply) => return Err(Hangup::Saying(reply)),
            }
        }
    }

    /// Checks a password where the session asks for that.
    async fn settled(&self, (session, act): (Session, Act), stay: &mut Stay) -> Result<(Session, Act), Hangup> {
        match act {
            Act::Verify(claim) => {
                let verdict = self.verify(claim, session.address(), stay).await?;
                Ok(session.verified(verdict))
            }
            act @ (Act::Reply(_) | Act::Receive(..) | Act::Move(..) | Act::StartTls(_) | Act::Close(_)) => Ok((session, act)),
        }
    }

    async fn verify(&self, claim: Claim, address: IpAddr, stay: &mut Stay) -> Result<Verdict, Hangup> {
        let Some(users) = &self.users else { return Ok(Verdict::Unavailable) };
        let now = self.clock.now();
        let verdict = users.verify(claim, address, now).await;
        if verdict == Verdict::False {
            // The same for a name that nobody has: how long it takes must not tell which.
            stay.delay(Duration::from_secs(self.house.options.error_delay) * users.slowness(address, now)).await?;
        }
        Ok(verdict)
    }

    /// From the go-ahead to the reply to the final dot.
    async fn message<S: Stream>(
        &self,
        wire: &mut Wire<S>,
        (session, go_ahead, envelope): (&Session, Reply, Envelope),
        stay: &Stay,
    ) -> Result<Reply, Hangup> {
        // RFC 2920 §3.1: a client waits for 354. What stands there already is somebody else's message.
        if !wire.input.is_empty() {
            return Err(Hangup::Saying(fixed::SPOKE_TOO_SOON.into()));
        }
        wire.say(&go_ahead);
        let peer = session.peer(envelope.utf8);
        match stay.before(Call::Octets, receive::message(self, wire, stay)).await?? {
            receive::Outcome::Complete(message) => stay.before(Call::Reply, receive::settle(self, envelope, message, peer)).await,
            receive::Outcome::Refused(reply) => Ok(reply),
        }
    }

    /// The client's next line. What we have said is sent when there is nothing more to read.
    async fn next_line<S: Stream>(&self, wire: &mut Wire<S>, session: &Session, stay: &mut Stay) -> Result<Line, Hangup> {
        let options = &self.house.options;
        let patience = if session.is_trusted() { options.command_timeout } else { options.stranger_timeout };
        let deadline = Instant::now() + Duration::from_secs(patience);
        let ends = stay.ends;
        loop {
            match take_line(&mut wire.input, LINE_MAX) {
                Line::Partial => {}
                line @ (Line::Whole(_) | Line::TooLong | Line::Bare) => return Ok(line),
            }
            timeout_at(deadline, wire.flush()).await.map_err(|_| Hangup::Gone)??;
            tokio::select! {
                biased;
                () = stay.told_to_stop() => return Err(Hangup::Saying(fixed::GOING_DOWN.into())),
                filled = timeout_at(deadline.min(ends), wire.fill(COMMAND_BUFFER)) => match filled {
                    Ok(filled) => filled?,
                    Err(_) if ends <= deadline => return Err(Hangup::Saying(fixed::SESSION_TOO_LONG.into())),
                    Err(_) => return Err(Hangup::Saying(fixed::TIMEOUT.into())),
                },
            }
        }
    }
}

/// What a session may still wait for when the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// More octets of a message: until the drain time is over.
    Octets,
    /// The reply to its final dot: a little longer, for a message that came at the last moment.
    Reply,
}

impl Stay {
    /// Waits for the gateway to stop or to close its doors. A server that is gone has stopped as well.
    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.stopping.wait_for(Option::is_some) => {}
            _ = self.doors.wait_for(|doors| *doors == Doors::Closed) => {}
        }
    }

    /// Keeps a client waiting for its answer, but nobody who wants to stop.
    async fn delay(&mut self, time: Duration) -> Result<(), Hangup> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = self.told_to_stop() => Err(Hangup::Saying(fixed::GOING_DOWN.into())),
        }
    }

    /// Does the work, unless the gateway stops and the time for this is over: then the client hears so. RFC 5321 §3.8.
    ///
    /// A message that was handed on by then may be taken although its client hears 421 and sends it again: twice, never lost.
    async fn before<T>(&self, call: Call, work: impl Future<Output = T>) -> Result<T, Hangup> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.last_call(call) => Err(Hangup::Saying(fixed::GOING_DOWN.into())),
        }
    }

    async fn last_call(&self, call: Call) {
        let mut stopping = self.stopping.clone();
        let since = stopping.wait_for(Option::is_some).await.ok().and_then(|since| *since);
        let grace = match call {
            Call::Octets => Duration::ZERO,
            Call::Reply => REPLY_GRACE,
        };
        sleep_until(since.unwrap_or_else(Instant::now) + self.drain + grace).await;
    }
}

impl<S: Stream> Wire<S> {
    /// Says something; it is sent with the next flush.
    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }
}

/// What a conversation can be held over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Says the last words and waits a moment for the client to hear them: a close with octets unread would tear them up.
async fn hang_up<S: Stream>(mut wire: Wire<S>, hangup: Hangup) {
    let Hangup::Saying(reply) = hangup else { return };
    if let (true, Some(status)) = (reply.is_refusal(), reply.status()) {
        emit(&Event::Refused { status: &status.to_string(), because: reply.words() });
    }
    wire.say(&reply);
    let goodbye = async {
        wire.flush().await?;
        wire.shutdown().await?;
        let mut octets = wire.input.len();
        while octets < LINGER_OCTETS {
            wire.input.clear();
            wire.fill(COMMAND_BUFFER).await?;
            octets += wire.input.len();
        }
        Ok::<(), std::io::Error>(())
    };
    let _ = timeout(LINGER, goodbye).await;
}

/// A 421 without a task or a wait: whoever floods us gets no more than one write of ours.
fn turn_away(stream: &TcpStream, why: impl Into<Reply>) {
    let reply: Reply = why.into();
    let mut said = Vec::new();
    reply.write(&mut said);
    let _ = rustix::net::send(stream, &said, rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL);
    emit(&Event::Refused { status: "4.3.2", because: reply.words() });
}

/// Whether the client sent something before our banner. RFC 5321 §3.1.
fn spoke_already(stream: &TcpStream) -> bool {
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
    rustix::net::recv(stream, &mut [0_u8; 1][..], flags).is_ok_and(|(octets, _)| octets > 0)
}

fn announce(listener: &TcpListener, start: Start) {
    let service = match start {
        Start::Plain => "smtp",
        Start::Tls => "smtps",
    };
    if let Ok(address) = listener.local_addr() {
        emit(&Event::Listening { service, address });
    }
}

/// While a command is awaited: a connection that is idle keeps no more than this.
const COMMAND_BUFFER: usize = 2 * 1_024;
/// Between two tries to take a connection when there are no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After the drain time, for a message whose last octet came within it.
const REPLY_GRACE: Duration = Duration::from_secs(4);
/// For sessions to end after they have heard that they shall.
const SLACK: Duration = Duration::from_secs(1);
/// For the client to read our last words.
const LINGER: Duration = Duration::from_secs(2);
/// What it may still send meanwhile.
const LINGER_OCTETS: usize = 16 * 1_024 * 1_024;
