"""A recipient without a browser: follows forms as a text browser would."""

import hashlib
import html.parser
import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request


class Forms(html.parser.HTMLParser):
    """The forms of a page: action and fields."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append((attributes.get("action", ""), {}))
        elif tag == "input" and self.forms and attributes.get("name"):
            self.forms[-1][1][attributes["name"]] = attributes.get("value", "")


class Recipient:
    """One person with one browser."""

    def __init__(self):
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.url = self.page = None

    def _take(self, request):
        try:
            with self.browser.open(request, timeout=60) as answer:
                self.url, self.status = answer.geturl(), answer.status
                self.page = answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as answer:
            self.url, self.status = answer.geturl(), answer.code
            self.page = answer.read().decode("utf-8", "replace")
        return self

    def get(self, url):
        return self._take(url)

    def form(self, path):
        """The fields of the form that goes to this path."""
        for action, fields in Forms(self.page).forms:
            if urllib.parse.urlsplit(urllib.parse.urljoin(self.url, action)).path.endswith(path):
                return urllib.parse.urljoin(self.url, action), dict(fields)
        raise SystemExit(f"no form to {path} on {self.url}: {self.page[:2000]}")

    def request(self, path, **values):
        action, fields = self.form(path)
        fields.update(values)
        parts = urllib.parse.urlsplit(action)
        origin = f"{parts.scheme}://{parts.netloc}"
        return urllib.request.Request(action, urllib.parse.urlencode(fields).encode(), {"Origin": origin})

    def submit(self, path, **values):
        return self._take(self.request(path, **values))

    def enter(self, link, address, read_password):
        """Link → address → password by mail → message. `read_password` gives the text of the password mail."""
        self.get(link)
        self.submit(urllib.parse.urlsplit(link).path, address=address)
        self.submit("/password/send")
        password = re.search(r"^\s*([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", read_password(), re.M).group(1)
        return self.submit("/password", password=password)

    def items(self):
        """Numbers of the files on the message page."""
        return [fields["item"] for action, fields in Forms(self.page).forms if "item" in fields]

    def download(self, item):
        """SHA-256 and length of one file, read in pieces."""
        for action, fields in Forms(self.page).forms:
            if fields.get("item") == item:
                action = urllib.parse.urljoin(self.url, action)
                parts = urllib.parse.urlsplit(action)
                request = urllib.request.Request(action, urllib.parse.urlencode(fields).encode(), {"Origin": f"{parts.scheme}://{parts.netloc}"})
                digest, length = hashlib.sha256(), 0
                with self.browser.open(request, timeout=600) as answer:
                    while piece := answer.read(1 << 20):
                        digest.update(piece)
                        length += len(piece)
                return digest.hexdigest(), length
        raise SystemExit(f"no file {item}")
