//! The three mails of the demo: one for inside, one with a file, one full of personal data.

use jiff::Timestamp;

/// A mail to be sent through the gateway.
pub struct Sample {
    /// What it shows, in one line.
    pub shows: &'static str,
    /// MAIL FROM.
    pub from: &'static str,
    /// RCPT TO.
    pub to: &'static [&'static str],
    /// The message.
    pub octets: Vec<u8>,
}

/// In the order in which they are sent.
pub fn samples(now: Timestamp) -> Vec<Sample> {
    let wire = |text: &str| text.replace("{date}", &date(now)).replace('\n', "\r\n").into_bytes();
    vec![
        Sample {
            shows: "a mail inside the house: passes byte for byte",
            from: "emma@clinic.example",
            to: &["anders@clinic.example"],
            octets: wire(INSIDE),
        },
        Sample {
            shows: "a file for somebody outside: the text stays, the file becomes a link",
            from: "emma@clinic.example",
            to: &["karin@mail.example"],
            octets: wire(&WITH_FILE.replace("{file}", &encode(REPORT.as_bytes()))),
        },
        Sample {
            shows: "personal data for inside and outside: outside the whole message becomes a link",
            from: "emma@clinic.example",
            to: &["jonas@mail.example", "anders@clinic.example"],
            octets: wire(&PERSONAL.replace("{file}", &encode(VALUES.as_bytes()))),
        },
    ]
}

fn date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// base64 in lines of 76. RFC 2045 §6.8.
fn encode(octets: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(octets);
    text.as_bytes().chunks(76).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n")
}

const INSIDE: &str = "From: Emma Lind <emma@clinic.example>
To: Anders Berg <anders@clinic.example>
Subject: Thursday
Date: {date}
Message-ID: <thursday.1@clinic.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hi Anders,

the meeting on Thursday moves to ten o'clock, same room.

Emma
";

const WITH_FILE: &str = "From: Emma Lind <emma@clinic.example>
To: Karin Holm <karin@mail.example>
Subject: The programme that you asked for
Date: {date}
Message-ID: <programme.2@clinic.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"sample-two\"

--sample-two
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Dear Karin,

here is the programme of the open day. See you there!

Emma Lind
--sample-two
Content-Type: text/csv; charset=utf-8; name=\"programme.csv\"
Content-Disposition: attachment; filename=\"programme.csv\"
Content-Transfer-Encoding: base64

{file}
--sample-two--
";

const PERSONAL: &str = "From: Emma Lind <emma@clinic.example>
To: Jonas Ek <jonas@mail.example>
Cc: Anders Berg <anders@clinic.example>
Subject: Your results
Date: {date}
Message-ID: <results.3@clinic.example>
In-Reply-To: <question.7@mail.example>
References: <question.7@mail.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"sample-three\"

--sample-three
Content-Type: multipart/alternative; boundary=\"text-of-sample-three\"

--text-of-sample-three
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Dear Jonas,

the results for your personal identity number 850709-9805 are attached.
The diagnosis stands: no treatment is needed.

Emma Lind
--text-of-sample-three
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<p>Dear Jonas,</p>
<p>the results for your personal identity number <b>850709-9805</b> are attached.<br>
The diagnosis stands: <i>no treatment is needed</i>.</p>
<p>Emma Lind</p>
--text-of-sample-three--
--sample-three
Content-Type: text/csv; charset=utf-8; name=\"values.csv\"
Content-Disposition: attachment; filename=\"values.csv\"
Content-Transfer-Encoding: base64

{file}
--sample-three--
";

const REPORT: &str = "time,what,where\n10:00,Welcome,Hall\n10:30,Tour of the house,Entrance\n12:00,Lunch,Garden\n";
const VALUES: &str = "person,value,unit\n850709-9805,141,g/l\n850709-9805,4.9,mmol/l\n";
