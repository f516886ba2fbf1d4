# Mails that we write ourselves. Plain words, no urgency, nothing that sounds like an offer.
mail-files-lead = { $count ->
    [one] One file belongs to this mail. It is kept encrypted at { $organisation } and can be downloaded there.
   *[other] { $count } files belong to this mail. They are kept encrypted at { $organisation } and can be downloaded there.
}
mail-files-button = Download files
mail-file-number = File { $number }
mail-expires = The link works until { $moment }.
mail-genuine = To check that this mail is genuine: the address of the page begins with { $host }. You are asked for your own e-mail address there, never for a password that you use elsewhere.
mail-genuine-public = To check that this mail is genuine: the address of the page begins with { $host }. There you are asked for nothing about yourself.
mail-ask = Questions? { $support }
mail-subject-files = Files from { $sender }
mail-subject-message = Message from { $sender }
mail-message-lead = { $sender } has written to you
mail-message-why = The message is kept encrypted at { $organisation } instead of travelling by ordinary mail. You read it in your browser; no account is needed.
mail-message-files = { $count ->
    [one] One file belongs to it:
   *[other] { $count } files belong to it:
}
mail-message-button = Open message
mail-password-subject = Your password
mail-password-lead = Here is the password that you asked for:
mail-password-use = Enter it on the page where you asked for it. It works there for a short while and nowhere else.
mail-password-ignore = If you did not ask for a password, you need not do anything: without it nothing opens.
