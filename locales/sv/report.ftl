# Rapporter till avsändare. Sagt rakt på sak, och vad man gör nu.
report-from = Det här är e-postslussen { $host }.
report-reason = Orsak
report-failed-subject = Gick inte fram: ditt meddelande kunde inte levereras
report-failed-lead = Ditt meddelande kunde inte levereras till mottagarna nedan. Inga fler försök görs.
report-delayed-subject = Försenat: ditt meddelande har inte levererats än
report-delayed-lead = Ditt meddelande har inte kunnat levereras till mottagarna nedan än. Nya försök görs; du behöver inte skicka det igen.
report-relayed-subject = Vidarebefordrat: ditt meddelande har lämnats vidare
report-relayed-lead = Ditt meddelande har lämnats till e-postsystemet hos mottagarna nedan, som inte skickar några rapporter.
report-delivered-subject = Levererat: ditt meddelande har kommit fram
report-delivered-lead = Ditt meddelande har lagts i brevlådorna hos mottagarna nedan.
