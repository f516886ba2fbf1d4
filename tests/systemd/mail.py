"""A mail whose secret lies in a compressed file, so that only a worker can find it."""

import io
import sys
import zipfile
from email.message import EmailMessage

archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as entries:
    entries.writestr("numbers.csv", "name,number\nAnn,850709-9805\n")
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "emma@example.org", "karin@mail.example", "hello"
message.set_content("See the file.\n")
message.add_attachment(archive.getvalue(), maintype="application", subtype="zip", filename="numbers.zip")
sys.stdout.buffer.write(message.as_bytes())
