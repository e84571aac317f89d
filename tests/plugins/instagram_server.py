"""A local Instagram for the real Instaloader 4.16: the routes it asks for, and every request noted.

`services/scraper/README.md` has the table of routes. Requests arrive over plain HTTP with the Host
header that they were meant for. A test can script what the next requests are answered with
(`fail`), and reads `requests` afterwards.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from instagram_world import Post, Profile, World
from instaloader import Post as InstaloaderPost

__all__ = ["CODE", "COOKIES", "PASSWORD", "SESSION", "Answer", "InstagramServer", "Request"]

COOKIES = {
    "sessionid": "77%3Asecret-session-id%3A9",
    "csrftoken": "secret-csrf-token",
    "ds_user_id": "77",
    "mid": "mid-1",
}
SESSION = {"username": "tester", "cookies": COOKIES}
"""The one account that may log in, as TAGLOOM_INSTAGRAM_SESSION wants it."""

IMAGE_DOMAINS = (".cdninstagram.com", ".fbcdn.net")
PAGE = 12
HASHTAG_QUERY = "9b498c08113f1e09617a1703c22b2f32"
POST_QUERY = "27128499623469141"
PROFILE_QUERY = "27937681195819736"
LOGGED_IN_POSTS_QUERY = "29104886249145907"
LOGGED_OUT_POSTS_QUERY = "28904005159232689"
COMMENTS_QUERY = "97b41c52301f77ce508f55e66d17620e"
SESSION_QUERY = "d6f4427fbe92d846298cf93df0b937d3"
LOGIN, SECOND_FACTOR = "/api/v1/web/accounts/login/ajax/", "/accounts/login/ajax/two_factor/"
PASSWORD, CODE = "correct horse battery staple", "123456"
_START_PAGE = """<!doctype html><html><head><script>
requireLazy([],["LSD",[],{"token":"lsd-token"},1],["DTSGInitialData",[],{"token":"%s"},2],
{"IG_USER_EIMU":"17841400000000077"})</script></head></html>"""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    host: str
    path: str
    parameters: Mapping[str, str]
    cookies: Mapping[str, str]
    headers: Mapping[str, str]
    time: float

    @property
    def kind(self) -> str:
        """The route's name in the README's table."""
        if self.host.endswith(IMAGE_DOMAINS):
            return "image"
        if self.path == "/":
            return "start"
        if self.path == "/api/v1/tags/web_info/":
            return "hashtag"
        if self.path in (LOGIN, SECOND_FACTOR):
            return "login" if self.path == LOGIN else "second factor"
        if self.path.startswith("/api/v1/media/") and self.path.endswith("/comments/"):
            return "comments"
        query = self.parameters.get("query_hash") or self.parameters.get("doc_id")
        names = {
            HASHTAG_QUERY: "hashtag posts",
            POST_QUERY: "post",
            PROFILE_QUERY: "profile",
            LOGGED_IN_POSTS_QUERY: "profile posts",
            LOGGED_OUT_POSTS_QUERY: "profile posts (anonymous)",
            COMMENTS_QUERY: "comments",
            SESSION_QUERY: "session",
        }
        return names.get(query or "", f"page {self.path}")


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """spent before the body is sent"""
    cut: bool = False
    """the connection ends in the middle of the body"""

    @classmethod
    def json(cls, document: Any, status: int = 200, **headers: str) -> Answer:
        fields = {"Content-Type": "application/json; charset=utf-8"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(document).encode(), fields)

    @classmethod
    def failure(cls, status: int, message: str, **headers: str) -> Answer:
        return cls.json({"message": message, "status": "fail"}, status, **headers)


class InstagramServer:
    """Serves a `World` on a free port of loopback; use as a context manager."""

    def __init__(self) -> None:
        self.world = World()
        self.second_factor = False
        """whether the account wants a code after the password"""
        self.requests: list[Request] = []
        self._scripts: list[tuple[str, list[Answer]]] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"instagram": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="instagram", daemon=True
        )

    def __enter__(self) -> InstagramServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def kinds(self) -> list[str]:
        """The kinds of all requests, in order."""
        return [request.kind for request in self.requests]

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.kinds)

    def fail(self, kind: str, *answers: Answer, after: int = 0) -> None:
        """Answer requests of that kind with these, one each, once `after` were answered well."""
        well = [Answer(0)] * after
        self._scripts.append((kind, [*well, *answers]))

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            for kind, answers in self._scripts:
                if kind == request.kind and answers:
                    scripted = answers.pop(0)
                    if scripted.status:
                        return scripted
                    break
        return self._route(request)

    def _route(self, request: Request) -> Answer:
        if request.host == "i.instagram.com" and request.kind == "hashtag":
            return self._hashtag(request)
        if request.kind == "comments":
            return self._comments(request)
        if request.host == "www.instagram.com":
            return self._web(request)
        if request.kind == "image":
            data = self.world.images.get(request.path)
            if data is None:
                return Answer(404, b"URL signature expired")
            return Answer(200, data, {"Content-Type": "image/jpeg"})
        return Answer(404, b"no such host: " + request.host.encode())

    def _web(self, request: Request) -> Answer:
        match request.kind:
            case "start":
                token = "fb-dtsg-token" if _logged_in(request) else ""
                page = (_START_PAGE % token).encode()
                cookie = "csrftoken=anonymous-csrf; Domain=.instagram.com; Path=/; Secure"
                return Answer(200, page, {"Content-Type": "text/html", "Set-Cookie": cookie})
            case "hashtag posts":
                return self._hashtag_posts(request)
            case "login":
                return self._login(request)
            case "second factor":
                if request.parameters["verificationCode"] != CODE:
                    return Answer.failure(400, "Please check the security code.")
                return self._logged_in()
            case "post":
                return self._post(request)
            case "session":
                user = {"username": SESSION["username"]} if _logged_in(request) else None
                return Answer.json({"data": {"user": user}, "status": "ok"})
            case "profile" | "profile posts" | "profile posts (anonymous)":
                return self._profile_query(request)
        return self._profile_page(request)

    def _login(self, request: Request) -> Answer:
        if request.cookies.get("csrftoken") != request.headers.get("x-csrftoken"):
            return Answer.failure(403, "CSRF token missing or incorrect")
        user = request.parameters["username"] == SESSION["username"]
        secret = request.parameters["enc_password"].split(":", 3)
        if not user or secret[0] != "#PWD_INSTAGRAM_BROWSER" or secret[3] != PASSWORD:
            return Answer.json({"authenticated": False, "user": user, "status": "ok"})
        if self.second_factor:
            info = {"two_factor_identifier": "factor-1"}
            document = {"two_factor_required": True, "two_factor_info": info, "status": "fail"}
            return Answer.json({"message": "", **document}, 400)
        return self._logged_in()

    def _logged_in(self) -> Answer:
        fields = "; Domain=.instagram.com; Path=/; Secure"
        cookies = "\n".join(f"{name}={value}{fields}" for name, value in COOKIES.items())
        document = {"authenticated": True, "user": True, "userId": "77", "status": "ok"}
        return Answer.json(document, Set_Cookie=cookies)

    def _comments(self, request: Request) -> Answer:
        """By the web's query (a page or less), or by the mobile API."""
        if not _logged_in(request):
            return Answer.failure(401, "login_required")
        if "variables" in request.parameters:
            post = self.world.post(json.loads(request.parameters["variables"])["shortcode"])
        else:
            pk = int(request.path.split("/")[4])
            code = InstaloaderPost.mediaid_to_shortcode(pk)
            post = self.world.post(code)
        assert post is not None
        written = [
            {
                "id": str(n),
                "pk": str(n),
                "created_at": 1772366400 + n,
                "text": text,
                "owner": {"id": str(900 + n), "username": owner},
                "user": {"pk": str(900 + n), "username": owner},
                "comment_like_count": 0,
                "child_comment_count": 0,
            }
            for n, (owner, text) in enumerate(post.comments)
        ]
        if "variables" not in request.parameters:
            return Answer.json({"comments": written, "status": "ok"})
        edges = [{"node": node} for node in written]
        found = {"count": len(edges), "page_info": {"has_next_page": False}, "edges": edges}
        media = {"shortcode_media": {"edge_media_to_parent_comment": found}}
        return Answer.json({"data": media, "status": "ok"})

    def _hashtag(self, request: Request) -> Answer:
        if not _logged_in(request):
            return Answer.failure(403, "login_required")
        name = request.parameters["tag_name"]
        posts = self.world.hashtags.get(name)
        if posts is None:
            return Answer.failure(404, "not found")
        return Answer.json({"data": {"name": name, "media_count": len(posts)}, "status": "ok"})

    def _hashtag_posts(self, request: Request) -> Answer:
        if not _logged_in(request):
            return Answer.failure(401, "Please wait a few minutes before you try again.")
        variables = json.loads(request.parameters["variables"])
        posts = self.world.hashtags[variables["tag_name"]]
        edges, info = _page(posts, int(variables["first"]), variables.get("after"))
        media = {
            "count": len(posts),
            "page_info": info,
            "edges": [{"node": post.hashtag_node()} for post in edges],
        }
        hashtag = {"name": variables["tag_name"], "edge_hashtag_to_media": media}
        return Answer.json({"data": {"hashtag": hashtag}, "status": "ok"})

    def _post(self, request: Request) -> Answer:
        if refusal := _check_tokens(request):
            return refusal
        post = self.world.post(json.loads(request.parameters["variables"])["shortcode"])
        items = [] if post is None else [post.media()]
        answer = {"data": {"xdt_api__v1__media__shortcode__web_info": {"items": items}}}
        return Answer.json(answer if "/api/" in request.path else {**answer, "status": "ok"})

    def _profile_query(self, request: Request) -> Answer:
        variables = json.loads(request.parameters["variables"])
        if refusal := _check_tokens(request):
            return refusal
        if request.kind == "profile":
            found = next(
                (p for p, _ in self.world.profiles.values() if p.pk == variables["id"]), None
            )
            if not _logged_in(request) or found is None:
                return Answer.json({"data": {"user": None}, "status": "ok"})
            user = {
                "pk": found.pk,
                "username": found.username,
                "is_private": found.private,
                "media_count": len(self.world.profiles[found.username][1]),
                "friendship_status": {"following": False},
            }
            return Answer.json({"data": {"user": user}, "status": "ok"})
        if request.kind == "profile posts":
            _, posts = self.world.profiles[variables["username"]]
            edges, info = _page(posts, PAGE, variables.get("after"))
            connection = {"edges": [{"node": p.media()} for p in edges], "page_info": info}
            key = "xdt_api__v1__feed__user_timeline_graphql_connection"
            return Answer.json({"data": {key: connection}})
        found = next(p for p, _ in self.world.profiles.values() if p.page_id == variables["id"])
        connection = self._timeline(found, variables.get("after"))
        return Answer.json({"data": {"node": {"polaris_ordered_timeline_connection": connection}}})

    def _profile_page(self, request: Request) -> Answer:
        name = request.path.strip("/")
        if name not in self.world.profiles:
            return Answer(404, b"<html>not found</html>", {"Content-Type": "text/html"})
        profile, posts = self.world.profiles[name]
        details = {
            "pk": profile.pk,
            "id": profile.page_id,
            "username": profile.username,
            "is_private": profile.private,
            "all_media_count": len(posts),
        }
        timeline = {"id": profile.page_id, "is_private": profile.private}
        if not profile.private:
            timeline["polaris_ordered_timeline_connection"] = self._timeline(profile, None)
        scripts = "".join(
            '<script type="application/json" data-sjs>'
            + json.dumps({"require": [["RelayPrefetchedStreamCache", "next", [],
                ["key", {"__bbox": {"result": {"data": {"xig_user_by_username": user}}}}]]]})
            + "</script>"
            for user in (details, timeline)
        )  # fmt: skip
        return Answer(200, f"<html>{scripts}</html>".encode(), {"Content-Type": "text/html"})

    def _timeline(self, profile: Profile, after: str | None) -> dict[str, Any]:
        edges, info = _page(self.world.profiles[profile.username][1], PAGE, after)
        return {"edges": [{"node": {"code": p.code}} for p in edges], "page_info": info}


def _page(posts: list[Post], size: int, after: str | None) -> tuple[list[Post], dict[str, Any]]:
    start = int(after.removeprefix("cursor-")) if after else 0
    end = start + size
    more = end < len(posts)
    return posts[start:end], {"has_next_page": more, "end_cursor": f"cursor-{end}" if more else ""}


def _logged_in(request: Request) -> bool:
    if request.host == "i.instagram.com":  # the mobile API takes a bearer token made from cookies
        return request.headers.get("authorization", "").startswith("Bearer IGT:2:")
    return request.cookies.get("sessionid") == COOKIES["sessionid"]


def _check_tokens(request: Request) -> Answer | None:
    """What the web app's endpoints want besides cookies: the tokens of the start page."""
    needed = []
    if request.path.rstrip("/") == "/api/graphql":
        needed = ["lsd", "av"] + ["fb_dtsg"] * _logged_in(request)
    missing = [name for name in needed if name not in request.parameters]
    if missing or not request.headers.get("x-csrftoken"):
        return Answer.failure(403, f"CSRF token missing or incorrect {missing}")
    return None


class _Handler(BaseHTTPRequestHandler):
    instagram: InstagramServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else headers and body wait 40 ms for each other

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        split = urlsplit(self.path)
        host = self.headers["Host"]
        request = Request(
            method=self.command,
            host=host,
            path=self.path if host.endswith(IMAGE_DOMAINS) else split.path,
            parameters=dict(parse_qsl(split.query) + parse_qsl(body)),
            cookies=dict(
                pair.split("=", 1) for pair in self.headers.get("Cookie", "").split("; ") if pair
            ),
            headers={name.lower(): value for name, value in self.headers.items()},
            time=time.monotonic(),
        )
        answer = self.instagram.answer(request)
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                for line in value.split("\n"):
                    self.send_header(name, line)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.cut:
                self.wfile.write(answer.body[: len(answer.body) // 2])
                self.close_connection = True
                return
            self.wfile.flush()
            time.sleep(answer.seconds)
            self.wfile.write(answer.body)
        except OSError:  # the client went away, as clients may
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows `requests` where it matters."""
