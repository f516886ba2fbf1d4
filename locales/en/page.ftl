# The pages that recipients see. Calm, plain, no urgency.

## Frame
page-language = Language
page-help = How do I know that this is genuine?
page-ask = Questions? { $support }
page-skip = Go to the content
page-sealed = Sealed by Waxseal

## Landing
landing-title-message = A secure message from { $organisation }
landing-title-files = Secure files from { $organisation }
landing-title-public = Files from { $organisation }
landing-lead-message = This message is kept for you in a secure channel.
landing-lead-files = These files are kept for you in a secure channel.
landing-lead-public = These files can be opened by anybody who has this link.
landing-until = Open until { $moment }
landing-address = Your e-mail address
landing-address-hint = Type the address that the mail with this link was sent to. Then we know that a person is here, not a program that checks links.
landing-address-hint-shared = The mail went to an address that several people read. Type your own address there: a password that you may need goes to you alone.
landing-continue = Continue
landing-person = Yes, I want to see these files
landing-person-hint = Programs that check links press buttons, too. The tick tells us that you are a person.
landing-open-files = Show the files
landing-wrong-title = This is not the address
landing-wrong = The mail was sent to another address. Perhaps it was forwarded to you, or you have several addresses: look at the line “To” in the mail with this link.
landing-person-missing = Please tick the box first.

## Password
password-title = Your password
password-lead = We send a password to { $mailbox }. It works for 30 minutes.
password-send = Send my password
password-sent = The password is on its way to { $mailbox }. It comes from { $organisation } and can take a minute.
password-field = Password
password-field-hint = Copy it from the mail. Capitals and hyphens do not matter.
password-open-message = Open message
password-open-files = Show the files
password-again = Send a new password
password-nothing = Nothing came? Look in your spam folder, or have a new one sent after a minute.
password-wrong-title = That is not the password
password-wrong = { $left ->
    [0] You have no tries left for this password. Have a new one sent.
    [one] You have one more try for this password.
   *[other] You have { $left } more tries for this password.
}
password-late-title = This password no longer works
password-late = A password works for 30 minutes and five tries, and only the newest one counts. Have a new one sent.
password-soon-title = A password is on its way already
password-soon = Please wait a minute before you have another one sent.

## Message
message-from = From
message-to = To
message-reader = You are
message-date = Date
message-subject-none = (no subject)
message-body = Message
message-cut = The message is longer than this page shows. Save it to read all of it.
message-blocked = { $count ->
    [one] One picture from elsewhere is not shown, so that nobody can see when you read this.
   *[other] { $count } pictures from elsewhere are not shown, so that nobody can see when you read this.
}
message-files = Files
message-files-title = Files from { $sender }
message-whole = This message is kept whole, just as it was sent. Save it and open it with your mail program.
message-no-files = There are no files.
message-until = Open until { $moment }
message-download = Download
message-download-name = Download { $name }
message-all = Download all as ZIP
message-print = Print
message-save = Save the message (.eml)
message-save-hint = Saving the message counts as a download of each file in it.
message-leave = Close
message-left = { $left ->
    [0] No downloads left
    [one] One download left
   *[other] { $left } downloads left
}
message-again = Taken; you can download it again during this visit
message-checksum = Checksum
message-checksum-hint = SHA-256. With it you can check that the file is exactly the one that was sent.
message-notice = This page closes by itself after { $minutes } minutes without a click.

## Pages that end a way
gone-title = There is nothing at this address
gone-text = The link may be incomplete, or what it led to is no longer there. Open the link in the mail again, and copy all of it if you copy it.
gone-ask = If it still does not open, reply to the mail with the link: your answer goes to its sender.
expired-title = This link has expired
expired-text = What it led to could be opened for a limited time and has been removed.
expired-ask = To get a new link, reply to the mail with the link: your answer goes to its sender.
used-title = All downloads are used up
used-text = The sender limited how often this may be downloaded.
used-ask = To get it once more, reply to the mail with the link: your answer goes to its sender.
ended-title = Your visit has ended
ended-text = For your safety a visit ends after a while, or when another message is opened in the same browser. Nothing is lost: open the link in the mail again.
left-title = Closed
left-text = Nothing of the message stays in this browser, apart from what you saved yourself. You can open the link in the mail again.
many-title = Please wait a little
many-text = There were too many tries. You can go on after { $moment }.
locked-title = This link is locked
locked-text = There were too many wrong passwords. Reply to the mail with the link and ask its sender for a new one.
forged-title = This did not come from our page
forged-text = To protect you, we take a form only from our own page. Open the link in the mail again and go on from there.
unavailable-title = We cannot do this at the moment
unavailable-text = The trouble is on our side, and nothing is lost. Please try again in a few minutes.
missing-title = This page does not exist
missing-text = Open the link in your mail to get to your message.

## Home
home-title = { $organisation }: secure channel
home-text = Messages and files wait here for the people they were sent to. There is nothing to log in to: open the link in your mail.

## Help
help-title = How do I know that this is genuine?
help-lead = You are right to ask. { $organisation } sends confidential mail as a link to this channel instead of as an open letter. Here is how you can tell.
help-address-title = Look at the address
help-address = Genuine links begin with exactly this, and your browser shows it above this page:
help-sender-title = Look at the sender
help-sender = The mail comes from the person who wrote to you, with that person's own address, and is part of your conversation. The password comes in a mail of its own, and only after you asked for it here.
help-never-title = What we never ask
help-never-password = for the password of your mailbox or of any account
help-never-money = for money, card numbers or bank details
help-never-program = to install a program
help-never-hurry = to hurry
help-unsure-title = Still unsure?
help-unsure = Call the sender on a number that you know already. Do not take it from the mail.
help-how-title = How your message is protected
help-how-sealed = The message is encrypted. To open it, one needs our key and the link in your mail: whoever steals our disks cannot read it.
help-how-mailbox = The link and the password go to the same mailbox. Whoever can read your mailbox can open the message, so keep it to yourself.
help-how-time = After the date on the page the message is removed, and the link opens nothing.
