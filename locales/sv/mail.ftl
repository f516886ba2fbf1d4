# Mejl som vi själva skriver. Enkla ord, ingen brådska, inget som låter som ett erbjudande.
mail-files-lead = { $count ->
    [one] En fil hör till det här mejlet. Den ligger krypterad hos { $organisation } och kan hämtas där.
   *[other] { $count } filer hör till det här mejlet. De ligger krypterade hos { $organisation } och kan hämtas där.
}
mail-files-button = Hämta filer
mail-file-number = Fil { $number }
mail-expires = Länken gäller till { $moment }.
mail-genuine = Så ser du att mejlet är äkta: sidans adress börjar med { $host }. Där frågar vi efter din egen e-postadress, aldrig efter ett lösenord som du använder någon annanstans.
mail-genuine-public = Så ser du att mejlet är äkta: sidans adress börjar med { $host }. Där frågar vi inte efter något om dig.
mail-ask = Frågor? { $support }
mail-subject-files = Filer från { $sender }
mail-subject-message = Meddelande från { $sender }
mail-message-lead = { $sender } har skrivit till dig
mail-message-why = Meddelandet ligger krypterat hos { $organisation } i stället för att skickas med vanlig e-post. Du läser det i webbläsaren; inget konto behövs.
mail-message-files = { $count ->
    [one] En fil hör till meddelandet:
   *[other] { $count } filer hör till meddelandet:
}
mail-message-button = Öppna meddelandet
mail-password-subject = Ditt lösenord
mail-password-lead = Här är lösenordet som du bad om:
mail-password-use = Skriv in det på sidan där du bad om det. Det gäller där en kort stund och ingen annanstans.
mail-password-ignore = Om du inte har bett om något lösenord behöver du inte göra något: utan det öppnas ingenting.
