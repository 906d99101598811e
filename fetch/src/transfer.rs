//! One request to one server: from nothing, or from where a download was cut.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use archive::Foreign;
use files::IoContext as _;
use terminal::Console;
use ureq::config::Config;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use crate::download::{Attempt, MirrorFailure};
use crate::error::Error;
use crate::location::public;
use crate::options::FetchOptions;
use crate::partial::{Origin, Partial};
use crate::request::WantedArchive;

/// Bytes a second. A server that drips never runs into the time limit of a single read.
pub const LOWEST_SPEED: u64 = 1000;

/// Fetches `url` into `partial`, whose bytes are kept where they can be. No length contradicts the result,
/// but nothing says yet that it is the wanted file. It tells whether the transfer went on from an earlier one.
pub fn transfer(
    url: &str,
    wanted: &WantedArchive,
    partial: &mut Partial,
    options: &FetchOptions,
    console: &Console,
) -> Result<Attempt<bool>, Error> {
    let timeout = Duration::from_secs(options.timeout);
    let most_unknown = options.limits.max_unpacked_bytes;
    if let (Some(expected), Some(_)) = (wanted.bytes, wanted.digest) {
        if partial.bytes == expected {
            return Ok(Ok(true));
        } else if partial.bytes > expected {
            partial.discard()?;
        }
    }
    let agent = agent_for(url, timeout, options.ca_certificate.as_deref())?;
    let public = public(url);
    let resumed_at = resumable(partial, &public, wanted.digest.is_some());
    let expected = partial.origin.validator.as_deref().filter(|_| resumed_at > 0 && partial.origin.url == public);
    let response = match ask(&agent, url, resumed_at, expected) {
        Ok(response) => response,
        Err(error) => return Ok(Err(MirrorFailure::Connection(error.to_string()))),
    };
    let total = match check_headers(&response, wanted, resumed_at, expected, most_unknown) {
        Ok(total) => total,
        Err(MirrorFailure::Range) => {
            partial.discard()?;
            return Ok(Err(MirrorFailure::Range));
        }
        Err(failure) => return Ok(Err(failure)),
    };
    let resumed = response.status() == StatusCode::PARTIAL_CONTENT;
    let mut file = if resumed {
        console.say(format!("going on with `{}` at byte {} of `{public}`", wanted.file_name, partial.bytes));
        partial.resume()?
    } else {
        let validator = validator(response.headers());
        partial.start(Origin { url: public, validator: validator.map(str::to_owned), sha256: None })?
    };

    let pace = Pace::new(timeout);
    let most = total.unwrap_or(most_unknown);
    let received = receive(response.into_body(), &mut file, most, total, pace, partial, console)?;
    Ok(received.map(|()| resumed))
}

/// Appends the body to `file`, up to the `total` bytes of the whole file where it is known.
fn receive(
    mut body: Body,
    file: &mut File,
    most: u64,
    total: Option<u64>,
    mut pace: Pace,
    partial: &mut Partial,
    console: &Console,
) -> Result<Attempt<()>, Error> {
    let progress = console.progress_bytes(total.unwrap_or(0)).labelled("download");
    let mut reader = body.with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 17];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                return Ok(Err(MirrorFailure::Cut { at: partial.bytes, of: total, reason: error.to_string() }));
            }
        };
        if partial.bytes == 0
            && let Some(found) = Foreign::of(&buffer[..count])
        {
            partial.discard()?;
            return Ok(Err(MirrorFailure::Foreign(found)));
        }
        let found = partial.bytes + count as u64;
        if found > most {
            partial.discard()?;
            return Ok(Err(
                total.map_or(MirrorFailure::TooLarge { most }, |expected| MirrorFailure::TooLong { expected })
            ));
        }
        file.write_all(&buffer[..count]).context("write", &partial.path)?;
        partial.bytes = found;
        progress.set_position(found);
        if let Some(failure) = pace.after(count, found) {
            return Ok(Err(failure));
        }
    }
    file.sync_all().context("write", &partial.path)?;
    match total {
        Some(total) if partial.bytes < total => {
            Ok(Err(MirrorFailure::Cut { at: partial.bytes, of: Some(total), reason: "the connection ended".into() }))
        }
        _ => Ok(Ok(())),
    }
}

/// How fast the bytes come.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: usize,
}

impl Pace {
    /// One that asks for [`LOWEST_SPEED`] over every `window`.
    fn new(window: Duration) -> Self {
        Self { window, since: Instant::now(), bytes: 0 }
    }

    /// After `count` more bytes, which are `at` in all: whether they come too slowly to be waited for.
    fn after(&mut self, count: usize, at: u64) -> Option<MirrorFailure> {
        self.bytes += count;
        if self.since.elapsed() < self.window {
            return None;
        }
        let seconds = self.window.as_secs();
        let is_slow = (self.bytes as u64) < LOWEST_SPEED * seconds;
        *self = Self::new(self.window);
        is_slow.then_some(MirrorFailure::TooSlow { at, seconds })
    }
}

/// How many bytes there are to go on from: all that a known digest will judge, else what the same URL gave while it can
/// say whether it still has the same file.
fn resumable(partial: &Partial, url: &str, digest_is_known: bool) -> u64 {
    let same_file = partial.origin.url == url && partial.origin.validator.is_some();
    if digest_is_known || same_file { partial.bytes } else { 0 }
}

/// Asks for all, or for what follows `resumed_at` if the file still has the `expected` validator.
fn ask(agent: &Agent, url: &str, resumed_at: u64, expected: Option<&str>) -> Result<Response<Body>, ureq::Error> {
    let mut request = agent.get(url);
    if resumed_at > 0 {
        request = request.header(RANGE, format!("bytes={resumed_at}-"));
    }
    if let Some(validator) = expected {
        request = request.header(IF_RANGE, validator);
    }
    request.call()
}

/// What tells a file from another one that took its place: its strong ETag, or when it changed.
fn validator(headers: &HeaderMap) -> Option<&str> {
    header(headers, ETAG).filter(|etag| !etag.starts_with("W/")).or_else(|| header(headers, LAST_MODIFIED))
}

/// The size of the whole file, where the server says it. A part must be of the file that has the `expected` validator,
/// which a server may have been asked for in vain.
fn check_headers(
    response: &Response<Body>,
    wanted: &WantedArchive,
    resumed_at: u64,
    expected: Option<&str>,
    most_unknown: u64,
) -> Result<Option<u64>, MirrorFailure> {
    let headers = response.headers();
    let total = match response.status() {
        StatusCode::OK => header(headers, CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        StatusCode::PARTIAL_CONTENT
            if expected.zip(validator(headers)).is_some_and(|(expected, found)| expected != found) =>
        {
            return Err(MirrorFailure::Range);
        }
        StatusCode::PARTIAL_CONTENT => match header(headers, CONTENT_RANGE).and_then(content_range) {
            Some((start, total)) if start == resumed_at && resumed_at > 0 => total,
            _ => return Err(MirrorFailure::Range),
        },
        StatusCode::RANGE_NOT_SATISFIABLE if resumed_at > 0 => return Err(MirrorFailure::Range),
        status => return Err(MirrorFailure::Status(status.as_u16())),
    };
    if header(headers, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(MirrorFailure::Foreign(Foreign::WebPage));
    }
    match (wanted.bytes, total) {
        (Some(expected), Some(found)) if expected != found => Err(MirrorFailure::Size { expected, found }),
        (None, Some(found)) if found > most_unknown => Err(MirrorFailure::TooLarge { most: most_unknown }),
        (expected, total) => Ok(expected.or(total)),
    }
}

/// The first byte and the size of the whole in `bytes 100-199/200` (RFC 9110, section 14.4); a `*` is no size.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    Some((start, total.trim().parse().ok()))
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// An agent that gives up after `timeout` without a byte, never follows a redirect from https to http, and trusts the
/// `authorities` instead of Mozilla's.
fn agent_for(url: &str, timeout: Duration, authorities: Option<&Path>) -> Result<Agent, Error> {
    let is_https = url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    let config = Config::builder()
        .http_status_as_error(false)
        .https_only(is_https)
        .tls_config(TlsConfig::builder().root_certs(root_certificates(authorities)?).build())
        .proxy(proxy_for(is_https)?)
        // A server may close a kept connection while a redirect's next request is on its way.
        .max_idle_connections(0)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(timeout))
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .timeout_per_read(Some(timeout))
        .timeout_per_write(Some(timeout));
    Ok(config.build().new_agent())
}

fn root_certificates(authorities: Option<&Path>) -> Result<RootCerts, Error> {
    let of_environment = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    let Some(path) = authorities.or(of_environment.as_ref().map(Path::new)) else { return Ok(RootCerts::WebPki) };
    let pem = fs::read(path).context("read", path)?;
    let certificates: Result<Vec<_>, _> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
        .collect();
    let malformed =
        |reason| artifacts::Error::Malformed { path: path.to_owned(), kind: "PEM file of certificates", reason };
    let certificates = certificates.map_err(|error| malformed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(malformed("it has no certificate".to_owned()).into());
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// The proxy that the environment names, as curl reads it: `https_proxy` or `http_proxy` by the URL's scheme, else
/// `all_proxy`; none for the hosts of `no_proxy`. Upper case will do too. The proxy is asked for a tunnel (`CONNECT`) even
/// for plain http, which is all that ureq can; a proxy that grants tunnels to port 443 alone fails the http mirrors.
fn proxy_for(is_https: bool) -> Result<Option<Proxy>, Error> {
    let names = if is_https {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some((name, value)) = names.into_iter().find_map(|name| variable(name).map(|value| (name, value))) else {
        return Ok(None);
    };
    let invalid = |error: ureq::Error| Error::Proxy { variable: name, reason: error.to_string() };
    let parsed = Proxy::new(&value).map_err(invalid)?;
    let mut builder = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(username) = parsed.username() {
        builder = builder.username(username);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    let exceptions = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
    for host in exceptions.split(',') {
        builder = builder.no_proxy(host.trim());
    }
    builder.build().map(Some).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_for_https_asks_for_nothing_else_whoever_sends_it_there() {
        let agent = agent_for("https://host/a.tar", Duration::from_secs(1), None).unwrap();
        assert!(agent.config().https_only());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.tar", listener.local_addr().unwrap());
        assert!(matches!(agent.get(&url).call(), Err(ureq::Error::RequireHttpsOnly(_))));
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody has called");
    }

    #[test]
    fn a_content_range_tells_the_start_and_perhaps_the_size() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for text in ["bytes */200", "100-199/200", "bytes 100/200", "bytes a-b/c", ""] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
