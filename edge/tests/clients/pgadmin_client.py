"""Logs into pgAdmin as its page does: pgadmin_client.py URL EMAIL PASSWORD"""

import os
import re
import sys

import requests

url, email, password = sys.argv[1:]
session = requests.Session()
session.verify = os.environ["SSL_CERT_FILE"]
page = session.get(f"{url}/login", params={"next": "/browser/"})
token = re.search(r'"csrfToken": "([^"]+)"', page.text)
assert token, page.text[:3000]
data = {"csrf_token": token[1], "email": email, "password": password, "language": "en"}
answer = session.post(f"{url}/authenticate/login", data=data, headers={"Referer": f"{url}/login"}, allow_redirects=False)
assert answer.status_code == 302, (answer.status_code, answer.text[:2000])
assert answer.headers["location"].endswith("/browser/"), answer.headers["location"]
assert session.get(f"{url}/browser/").status_code == 200
# It compares the token with the session, and the page that the request says it comes from with Host.
token = re.search(r"csrf_token'\] = '([^']+)'", session.get(f"{url}/browser/js/utils.js").text)[1]
headers = {"X-pgA-CSRFToken": token, "Referer": f"{url}/browser/"}
nodes = session.get(f"{url}/browser/nodes/", headers=headers)
assert nodes.status_code == 200 and nodes.json()["success"] == 1, nodes.text[:2000]
foreign = session.get(f"{url}/browser/nodes/", headers={**headers, "Referer": "https://evil.test/"})
assert foreign.status_code == 401 and "does not match the host" in foreign.text, (foreign.status_code, foreign.text[:2000])
