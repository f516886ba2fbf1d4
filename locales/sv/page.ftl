# Sidorna som mottagare ser. Lugnt, enkelt, utan brådska.

## Ramen
page-language = Språk
page-help = Hur vet jag att det här är äkta?
page-ask = Frågor? { $support }
page-skip = Till innehållet
page-sealed = Förseglat av Waxseal

## Första sidan
landing-title-message = Ett säkert meddelande från { $organisation }
landing-title-files = Säkra filer från { $organisation }
landing-title-public = Filer från { $organisation }
landing-lead-message = Meddelandet ligger i en säker kanal och väntar på dig.
landing-lead-files = Filerna ligger i en säker kanal och väntar på dig.
landing-lead-public = Filerna kan öppnas av alla som har den här länken.
landing-until = Går att öppna till { $moment }
landing-address = Din e-postadress
landing-address-hint = Skriv adressen som mejlet med länken skickades till. Då vet vi att en människa är här och inte ett program som kontrollerar länkar.
landing-address-hint-shared = Mejlet gick till en adress som flera läser. Skriv din egen adress där: om det behövs ett lösenord går det bara till dig.
landing-continue = Fortsätt
landing-person = Ja, jag vill se filerna
landing-person-hint = Program som kontrollerar länkar trycker också på knappar. Krysset visar att du är en människa.
landing-open-files = Visa filerna
landing-wrong-title = Det är inte rätt adress
landing-wrong = Mejlet skickades till en annan adress. Kanske vidarebefordrades det till dig, eller så har du flera adresser: titta på raden ”Till” i mejlet med länken.
landing-person-missing = Kryssa i rutan först.

## Lösenord
password-title = Ditt lösenord
password-lead = Vi skickar ett lösenord till { $mailbox }. Det gäller i 30 minuter.
password-send = Skicka mitt lösenord
password-sent = Lösenordet är på väg till { $mailbox }. Det kommer från { $organisation } och kan dröja en minut.
password-field = Lösenord
password-field-hint = Kopiera det från mejlet. Stora bokstäver och bindestreck spelar ingen roll.
password-open-message = Öppna meddelandet
password-open-files = Visa filerna
password-again = Skicka ett nytt lösenord
password-nothing = Kom det inget? Titta bland skräpposten eller begär ett nytt efter en minut.
password-wrong-title = Det är inte rätt lösenord
password-wrong = { $left ->
    [0] Det finns inga försök kvar för det här lösenordet. Begär ett nytt.
    [one] Det finns ett försök kvar för det här lösenordet.
   *[other] Det finns { $left } försök kvar för det här lösenordet.
}
password-late-title = Lösenordet gäller inte längre
password-late = Ett lösenord gäller i 30 minuter och för fem försök, och bara det senaste räknas. Begär ett nytt.
password-soon-title = Ett lösenord är redan på väg
password-soon = Vänta en minut innan du begär ett till.

## Meddelandet
message-from = Från
message-to = Till
message-reader = Du är
message-date = Datum
message-subject-none = (inget ämne)
message-body = Meddelande
message-cut = Meddelandet är längre än den här sidan visar. Spara det för att läsa allt.
message-blocked = { $count ->
    [one] En bild från annat håll visas inte, så att ingen kan se när du läser.
   *[other] { $count } bilder från annat håll visas inte, så att ingen kan se när du läser.
}
message-files = Filer
message-files-title = Filer från { $sender }
message-whole = Meddelandet ligger här i sin helhet, precis som det skickades. Spara det och öppna det med ditt e-postprogram.
message-no-files = Det finns inga filer.
message-until = Går att öppna till { $moment }
message-download = Hämta
message-download-name = Hämta { $name }
message-all = Hämta alla som ZIP
message-print = Skriv ut
message-save = Spara meddelandet (.eml)
message-save-hint = Att spara meddelandet räknas som en hämtning av varje fil i det.
message-leave = Stäng
message-left = { $left ->
    [0] Inga hämtningar kvar
    [one] En hämtning kvar
   *[other] { $left } hämtningar kvar
}
message-again = Hämtad; du kan hämta den igen under det här besöket
message-checksum = Kontrollsumma
message-checksum-hint = SHA-256. Med den kan du kontrollera att filen är exakt den som skickades.
message-notice = Sidan stängs automatiskt efter { $minutes } minuter utan klick.

## Sidor där vägen slutar
gone-title = Det finns inget på den här adressen
gone-text = Länken kan vara ofullständig, eller så finns det inte längre något bakom den. Öppna länken i mejlet igen, och kopiera hela om du kopierar den.
gone-ask = Om den ändå inte öppnas: svara på mejlet med länken, så når ditt svar avsändaren.
expired-title = Länkens tid är slut
expired-text = Det som länken ledde till gick att öppna under en begränsad tid och är borttaget.
expired-ask = Om du vill ha en ny länk: svara på mejlet med länken, så når ditt svar avsändaren.
used-title = Alla hämtningar är förbrukade
used-text = Avsändaren har begränsat hur många gånger det här får hämtas.
used-ask = Om du vill hämta det en gång till: svara på mejlet med länken, så når ditt svar avsändaren.
ended-title = Ditt besök är slut
ended-text = För din säkerhet slutar ett besök efter en stund, eller när ett annat meddelande öppnas i samma webbläsare. Inget har gått förlorat: öppna länken i mejlet igen.
left-title = Stängt
left-text = Inget av meddelandet finns kvar i den här webbläsaren, utom det du själv har sparat. Du kan öppna länken i mejlet igen.
many-title = Vänta en liten stund
many-text = Det blev för många försök. Du kan fortsätta efter { $moment }.
locked-title = Länken är låst
locked-text = Det blev för många felaktiga lösenord. Svara på mejlet med länken och be avsändaren om en ny.
forged-title = Det här kom inte från vår sida
forged-text = För att skydda dig tar vi bara emot formulär från vår egen sida. Öppna länken i mejlet igen och fortsätt därifrån.
unavailable-title = Det går inte just nu
unavailable-text = Felet ligger hos oss, och inget har gått förlorat. Försök igen om några minuter.
missing-title = Sidan finns inte
missing-text = Öppna länken i ditt mejl för att komma till meddelandet.

## Startsidan
home-title = { $organisation }: säker kanal
home-text = Här väntar meddelanden och filer på dem som de skickades till. Det finns inget att logga in på: öppna länken i ditt mejl.

## Hjälp
help-title = Hur vet jag att det här är äkta?
help-lead = Bra att du frågar. { $organisation } skickar förtroliga mejl som en länk till den här kanalen i stället för som ett öppet brev. Så här ser du att det stämmer.
help-address-title = Titta på adressen
help-address = Äkta länkar börjar exakt så här, och webbläsaren visar det ovanför sidan:
help-sender-title = Titta på avsändaren
help-sender = Mejlet kommer från den som skrev till dig, från personens egen adress, och hör till er konversation. Lösenordet kommer i ett eget mejl, och bara när du har bett om det här.
help-never-title = Det här ber vi aldrig om
help-never-password = lösenordet till din brevlåda eller något konto
help-never-money = pengar, kortnummer eller bankuppgifter
help-never-program = att du installerar ett program
help-never-hurry = att du skyndar dig
help-unsure-title = Fortfarande osäker?
help-unsure = Ring avsändaren på ett nummer som du redan har. Ta det inte från mejlet.
help-how-title = Så skyddas ditt meddelande
help-how-sealed = Meddelandet är krypterat. För att öppna det krävs både vår nyckel och länken i ditt mejl: den som stjäl våra diskar kan inte läsa det.
help-how-mailbox = Länken och lösenordet skickas till samma brevlåda. Den som kan läsa din brevlåda kan öppna meddelandet: håll den för dig själv.
help-how-time = Efter datumet på sidan tas meddelandet bort, och länken öppnar ingenting.
