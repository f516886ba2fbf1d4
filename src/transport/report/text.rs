//! A report as RFC 8460 §4.4 writes it.

use serde::Serialize;

use super::{Applied, Failure, Kind, Report, Sums, Wrong};
use crate::mail::{Domain, Mailbox};

/// Who reports.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// Its organisation.
    pub organisation: String,
    /// Whom to ask.
    pub contact: Mailbox,
    /// The host that counted.
    pub host: Domain,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    organization_name: &'a str,
    date_range: Range,
    contact_info: String,
    report_id: String,
    policies: Vec<Policy<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Range {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Policy<'a> {
    policy: Demand<'a>,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failure_details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Demand<'a> {
    policy_type: Kind,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policy_string: &'a [String],
    policy_domain: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mx_host: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Detail<'a> {
    result_type: Wrong,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_mx_hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_ip: Option<String>,
    failed_session_count: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    failure_reason_code: &'a str,
}

impl Report {
    /// The report's name, the same each time that it is written.
    pub fn id(&self, by: &Reporter) -> String {
        format!("{}.{}@{}", self.day, self.domain, by.host)
    }

    /// The report as JSON.
    pub fn text(&self, by: &Reporter) -> String {
        let [start, end] = self.day.bounds();
        let written = Written {
            organization_name: &by.organisation,
            date_range: Range { start_datetime: start.to_string(), end_datetime: end.to_string() },
            contact_info: by.contact.to_string(),
            report_id: self.id(by),
            policies: self.policies.iter().map(|(applied, sums)| policy(&self.domain, applied, sums)).collect(),
        };
        // Strings and numbers can always be written.
        serde_json::to_string_pretty(&written).unwrap_or_default()
    }
}

fn policy<'a>(domain: &'a str, applied: &'a Applied, sums: &'a Sums) -> Policy<'a> {
    Policy {
        policy: Demand { policy_type: applied.kind, policy_string: &applied.lines, policy_domain: domain, mx_host: &applied.hosts },
        summary: Summary { total_successful_session_count: sums.successes, total_failure_session_count: sums.failures },
        failure_details: sums.details.iter().map(|(failure, count)| detail(failure, *count)).collect(),
    }
}

fn detail(failure: &Failure, count: u64) -> Detail<'_> {
    Detail {
        result_type: failure.wrong,
        receiving_mx_hostname: failure.host.as_deref(),
        receiving_ip: failure.address.map(|address| address.to_string()),
        failed_session_count: count,
        failure_reason_code: &failure.reason,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::super::{Day, Outcome};
    use super::*;

    /// RFC 8460 appendix B, without what only the sender of that report has: its own addresses, and words on a web page.
    fn example() -> Value {
        json!({
            "organization-name": "Company-X",
            "date-range": { "start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z" },
            "contact-info": "sts-reporting@company-x.example",
            "report-id": "2016-04-01.company-y.example@mail.company-x.example",
            "policies": [{
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"]
                },
                "summary": { "total-successful-session-count": 5326, "total-failure-session-count": 303 },
                "failure-details": [
                    {
                        "result-type": "starttls-not-supported",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 200
                    },
                    {
                        "result-type": "certificate-expired",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "failed-session-count": 100
                    },
                    {
                        "result-type": "validation-failure",
                        "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                        "receiving-ip": "203.0.113.58",
                        "failed-session-count": 3,
                        "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
                    }
                ]
            }]
        })
    }

    #[test]
    fn the_report_of_the_rfc_is_written_as_there() {
        let lines = ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"].map(String::from);
        let applied = Applied { kind: Kind::Sts, lines: lines.into(), hosts: vec!["*.mail.company-y.example".into()] };
        let mut sums = Sums::default();
        for _ in 0..5_326 {
            sums.add(Outcome::Success);
        }
        for (count, wrong, host, address, reason) in [
            (100, Wrong::CertificateExpired, "mx1.mail.company-y.example", None, ""),
            (200, Wrong::StarttlsNotSupported, "mx2.mail.company-y.example", Some("203.0.113.56"), ""),
            (
                3,
                Wrong::ValidationFailure,
                "mx-backup.mail.company-y.example",
                Some("203.0.113.58"),
                "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
            ),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            for _ in 0..count {
                sums.add(Outcome::Failure(Failure { wrong, host: Some(host.into()), address, reason: reason.into() }));
            }
        }
        let day = Day::of("2016-04-01T12:00:00Z".parse::<Timestamp>().unwrap());
        let report = Report { domain: "company-y.example".into(), day, policies: vec![(applied, sums)] };
        let by = Reporter {
            organisation: "Company-X".into(),
            contact: Mailbox::parse("sts-reporting@company-x.example").unwrap(),
            host: Domain::parse("mail.company-x.example").unwrap(),
        };
        assert_eq!(serde_json::from_str::<Value>(&report.text(&by)).unwrap(), example());
    }
}
