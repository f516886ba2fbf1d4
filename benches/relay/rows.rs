//! What is measured: each row is one kind of message on one path, sent in one way through several peers.

use crate::mail::Kind;

/// One line of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub path: Path,
    pub kind: Kind,
    pub sessions: usize,
    pub per_connection: usize,
    pub tls: Tls,
}

/// What becomes of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The next hop takes them at once.
    Fast,
    /// The gateway seals what is in them; the others move them as they are.
    Sealing,
    /// The next hop refuses connections: they are accepted and kept.
    Spooled,
}

/// Whether the generator asks for STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Off,
    On,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Quick,
    Usual,
}

impl Row {
    pub const fn fast(kind: Kind, sessions: usize) -> Self {
        Self { path: Path::Fast, kind, sessions, per_connection: 1, tls: Tls::Off }
    }

    pub const fn sealing(kind: Kind, sessions: usize) -> Self {
        Self { path: Path::Sealing, ..Self::fast(kind, sessions) }
    }

    pub const fn spooled(kind: Kind, sessions: usize) -> Self {
        Self { path: Path::Spooled, ..Self::fast(kind, sessions) }
    }

    const fn many(self) -> Self {
        Self { per_connection: MANY, ..self }
    }

    const fn encrypted(self) -> Self {
        Self { tls: Tls::On, ..self }
    }

    /// Whose rate is one.
    pub const fn reference(&self) -> &'static str {
        match self.path {
            Path::Fast => "proxy",
            Path::Sealing | Path::Spooled => "postfix",
        }
    }

    /// Who takes part.
    pub fn peers(&self) -> Vec<&'static str> {
        let mut peers = match (self.path, self.tls) {
            // A pipe and the sink have no TLS of their own.
            (Path::Fast, Tls::On) => vec!["proxy", "postfix", "haraka", "waxseal"],
            (Path::Fast, Tls::Off) => vec!["direct", "nginx", "proxy", "postfix", "haraka", "waxseal"],
            // Who does not queue has nothing to do with a next hop that is away.
            (Path::Sealing | Path::Spooled, _) => vec!["postfix", "waxseal"],
        };
        if *self == EXPRESSIONS {
            peers.push("postfix-100");
        }
        // A hundred messages of 10 MB take it a minute.
        peers.retain(|peer| *peer != "haraka" || self.sessions < 100 || self.kind != Kind::Text(10 << 20));
        peers
    }

    /// For the heading of its lines.
    pub fn name(&self) -> String {
        let path = match self.path {
            Path::Fast => "fast",
            Path::Sealing => "sealing",
            Path::Spooled => "spooled",
        };
        let tls = match self.tls {
            Tls::Off => "",
            Tls::On => ", STARTTLS",
        };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (sessions, messages) = (self.sessions, self.per_connection);
        let kind = self.kind.name();
        format!("{path}: {kind}, {sessions} session{}, {messages} message{} a connection{tls}", plural(sessions), plural(messages))
    }
}

/// Rows with a next hop that is there.
pub fn of_the_day(extent: Extent) -> Vec<Row> {
    let sessions: &[usize] = &[1, 10, 100];
    let grid = |kinds: &[Kind], sessions: &[usize]| -> Vec<Row> {
        kinds.iter().flat_map(|kind| sessions.iter().map(|sessions| Row::fast(*kind, *sessions))).collect()
    };
    match extent {
        Extent::Quick => [
            grid(&[SMALL], sessions),
            grid(&[MIDDLE, LARGE, HUGE], &[10]),
            vec![Row::fast(SMALL, 10).many(), Row::fast(SMALL, 10).encrypted(), Row::sealing(FILE, 10)],
        ]
        .concat(),
        Extent::Usual => [
            grid(&[SMALL, MIDDLE, LARGE, HUGE], sessions),
            grid(&[Kind::Html(100 << 10)], &[10]),
            grid(&[SMALL, MIDDLE], sessions).into_iter().map(Row::many).collect(),
            grid(&[SMALL, MIDDLE], sessions).into_iter().map(Row::encrypted).collect(),
            grid(&[LARGE, HUGE], &[10]).into_iter().map(Row::encrypted).collect(),
            grid(&[SMALL, MIDDLE], &[10]).into_iter().map(|row| row.many().encrypted()).collect(),
            sessions.iter().map(|sessions| Row::sealing(FILE, *sessions)).collect(),
            vec![Row::sealing(Kind::Document(100 << 10), 10), Row::sealing(Kind::File(1 << 20), 10)],
        ]
        .concat(),
    }
}

/// Rows while the next hop is away.
pub fn of_the_night(extent: Extent) -> Vec<Row> {
    let sessions: &[usize] = match extent {
        Extent::Quick => &[10],
        Extent::Usual => &[1, 10, 100],
    };
    let small = sessions.iter().map(|sessions| Row::spooled(SMALL, *sessions));
    let large: &[Kind] = match extent {
        Extent::Quick => &[MIDDLE],
        Extent::Usual => &[MIDDLE, LARGE],
    };
    small.chain(large.iter().map(|kind| Row::spooled(*kind, 10))).collect()
}

/// Whatever the network and the inspection cost beside their content.
pub const SMALL: Kind = Kind::Text(4 << 10);
/// A long letter.
pub const MIDDLE: Kind = Kind::Text(100 << 10);
const LARGE: Kind = Kind::Text(1 << 20);
pub const HUGE: Kind = Kind::Text(10 << 20);
/// What is sealed.
pub const FILE: Kind = Kind::File(100 << 10);
/// The row in which Postfix looks for expressions too.
pub const EXPRESSIONS: Row = Row::fast(MIDDLE, 10);
/// Messages on one connection where it is not one.
const MANY: usize = 50;
