//! A small HTTP/1.1 server on 127.0.0.1 that behaves as it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a server answers a request.
#[derive(Clone)]
pub enum Answer {
    /// All of it, or the range that is asked for; with this `ETag`, or as `Last-Modified` what has no quotation marks.
    File { bytes: Vec<u8>, etag: &'static str },
    /// The same, but the range that is asked for is sent even if it was to be of another file.
    AnyRange { bytes: Vec<u8>, etag: &'static str },
    /// The same, but the connection ends after so many bytes of the body.
    Cut { bytes: Vec<u8>, etag: &'static str, after: usize },
    /// The same, but after so many bytes nothing more comes.
    Stall { bytes: Vec<u8>, etag: &'static str, after: usize },
    /// The whole file whatever range is asked for, without saying how long it is.
    WithoutRanges(Vec<u8>),
    /// A few bytes at a time.
    Slow(Vec<u8>),
    /// A byte at a time of the headers, without end.
    DripHeaders { every: Duration },
    /// A byte at a time of the body, whose length is right.
    Drip { bytes: Vec<u8>, every: Duration },
    /// A gzip file that never ends, without saying how long it is.
    Endless,
    /// A page with status 200.
    Html { content_type: &'static str },
    /// An error.
    Status(u16),
    /// To another URL.
    Redirect(String),
    /// `CONNECT` answered as a proxy does, then the request inside the tunnel by the answer.
    Proxy(Box<Answer>),
    /// A length of the body that it does not have.
    WrongLength { bytes: Vec<u8>, claimed: usize },
}

/// What was asked: the first line and the header lines.
pub type Request = Vec<String>;

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers the first request with the first answer, and so on; the last answer again and again.
    pub fn start(answers: Vec<Answer>) -> Self {
        Self::start_at("http://127.0.0.1:0", answers)
    }

    /// The same, at an address that is known before.
    pub fn start_at(url: &str, answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind(url.strip_prefix("http://").unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let answer = answers[index.min(answers.len() - 1)].clone();
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    serve(stream, &mut reader, answer, &seen);
                });
            }
        });
        Self { url, requests }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The value of a header in each request; an empty string where it lacks it.
    pub fn header(&self, name: &str) -> Vec<String> {
        let of = |request: &Request| header(request, name).unwrap_or_default();
        self.requests().iter().map(of).collect()
    }
}

/// An address that nobody listens at.
pub fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.iter().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Request {
    reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect()
}

fn serve(mut stream: TcpStream, reader: &mut BufReader<TcpStream>, answer: Answer, seen: &Mutex<Vec<Request>>) {
    let request = read_request(reader);
    seen.lock().unwrap().push(request.clone());
    // A client that has heard enough hangs up; that is no failure of the server.
    let _gone = match answer {
        Answer::File { bytes, etag } => send(&mut stream, &request, &bytes, etag, bytes.len()),
        Answer::AnyRange { bytes, etag } => {
            let request: Request =
                request.into_iter().filter(|line| !line.to_lowercase().starts_with("if-range")).collect();
            send(&mut stream, &request, &bytes, etag, bytes.len())
        }
        Answer::Cut { bytes, etag, after } => send(&mut stream, &request, &bytes, etag, after),
        Answer::Stall { bytes, etag, after } => {
            let sent = send(&mut stream, &request, &bytes, etag, after);
            thread::sleep(Duration::from_secs(60));
            sent
        }
        Answer::WithoutRanges(bytes) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").and_then(|()| stream.write_all(&bytes))
        }
        Answer::Slow(bytes) => stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes())
            .and_then(|()| {
                bytes.chunks(bytes.len().div_ceil(10)).try_for_each(|piece| {
                    thread::sleep(Duration::from_millis(20));
                    stream.write_all(piece)
                })
            }),
        Answer::DripHeaders { every } => drip(&mut stream, &b"HTTP/1.1 200 OK\r\nX: ".repeat(100), every),
        Answer::Drip { bytes, every } => stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes())
            .and_then(|()| drip(&mut stream, &bytes, every)),
        Answer::Endless => stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b").and_then(|()| {
            let piece = [7; 1 << 16];
            loop {
                stream.write_all(&piece)?;
            }
        }),
        Answer::Html { content_type } => {
            let page = "\n <!DOCTYPE html><title>Sign in to the network</title>";
            let length = page.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(format!("{head}{page}").as_bytes())
        }
        Answer::Status(status) => {
            stream.write_all(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").as_bytes())
        }
        Answer::Redirect(url) => {
            stream.write_all(format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n").as_bytes())
        }
        Answer::WrongLength { bytes, claimed } => stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {claimed}\r\n\r\n").as_bytes())
            .and_then(|()| stream.write_all(&bytes)),
        Answer::Proxy(inner) => {
            let established = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            if established.is_ok() {
                return serve(stream, reader, *inner, seen);
            }
            established
        }
    };
    let _gone = stream.shutdown(Shutdown::Both);
}

fn drip(stream: &mut TcpStream, bytes: &[u8], every: Duration) -> std::io::Result<()> {
    bytes.chunks(1).try_for_each(|byte| {
        thread::sleep(every);
        stream.write_all(byte)
    })
}

/// Sends the file or the range that `request` asks for, as RFC 9110 has it, and ends after `after` bytes of the body.
fn send(stream: &mut TcpStream, request: &Request, bytes: &[u8], etag: &str, after: usize) -> std::io::Result<()> {
    let same = header(request, "if-range").is_none_or(|validator| validator == etag);
    let range = header(request, "range").filter(|_| same);
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let (first, head) = match start {
        Some(start) if start >= bytes.len() => {
            let head =
                format!("HTTP/1.1 416 No\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\n\r\n", bytes.len());
            return stream.write_all(head.as_bytes());
        }
        Some(start) => {
            let (last, total) = (bytes.len() - 1, bytes.len());
            (start, format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\n"))
        }
        None => (0, "HTTP/1.1 200 OK\r\n".to_owned()),
    };
    let body = &bytes[first..];
    let validator = if etag.starts_with('"') { "ETag" } else { "Last-Modified" };
    write!(stream, "{head}{validator}: {etag}\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(&body[..after.min(body.len())])
}
