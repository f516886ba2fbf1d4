# Reports to senders. Said plainly, and what to do now.
report-from = This is the mail gateway { $host }.
report-reason = Reason
report-failed-subject = Undeliverable: your message could not be delivered
report-failed-lead = Your message could not be delivered to the recipients below. It will not be tried again.
report-delayed-subject = Delayed: your message has not been delivered yet
report-delayed-lead = Your message could not be delivered to the recipients below yet. It is tried again; you need not send it again.
report-relayed-subject = Relayed: your message was handed on
report-relayed-lead = Your message was handed to the mail system of the recipients below, which sends no reports.
report-delivered-subject = Delivered: your message has arrived
report-delivered-lead = Your message was put into the mailboxes of the recipients below.
