//! A local HTTP server that plays the Hub, and its faults.
//!
//! Plain sockets: an HTTP library would not send a body that is shorter than it says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Still escaped.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_get(&self) -> bool {
        self.method == "GET"
    }
}

#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Send only so many bytes of the body, then hang up.
    cut: Option<usize>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }
}

/// A server that answers each request by a function, and remembers them.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_over(|stream| stream, "http://127.0.0.1", answer)
    }

    /// A server over TLS, say, which `wrap` puts onto a connection.
    pub fn start_over<S: Read + Write>(
        wrap: impl Fn(TcpStream) -> S + Send + Sync + 'static,
        address: &str,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{address}:{}", listener.local_addr().unwrap().port());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, wrap, log_of_thread) = (Arc::new(answer), Arc::new(wrap), log.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, wrap, log) = (answer.clone(), wrap.clone(), log_of_thread.clone());
                thread::spawn(move || {
                    let mut stream = wrap(stream);
                    let request = read(&mut stream)?;
                    log.lock().unwrap().push(request.clone());
                    let reply = answer(&request);
                    write(&mut stream, &request, &reply).ok()
                });
            }
        });
        Self { url, log }
    }

    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// The paths asked for, with their methods, since the last call.
    pub fn take_log(&self) -> Vec<String> {
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        log.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

/// An address where nothing listens.
pub fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A repository as the Hub serves it: the same files at every revision it has.
#[derive(Debug, Clone)]
pub struct Repo {
    pub id: &'static str,
    pub commit: &'static str,
    pub revisions: Vec<&'static str>,
    pub files: BTreeMap<&'static str, FileOf>,
}

#[derive(Debug, Clone)]
pub struct FileOf {
    pub etag: &'static str,
    pub content: Vec<u8>,
    /// Where a large file is stored: requests are redirected there.
    pub store: Option<String>,
    pub in_xet: bool,
}

impl Repo {
    pub fn reply(&self, request: &Request) -> Reply {
        let Some(rest) = request.path.strip_prefix(&format!("/{}/resolve/", self.id)) else {
            return Reply::status(401).header("X-Error-Code", "RepoNotFound");
        };
        let (revision, file) = rest.split_once('/').unwrap();
        if revision != self.commit && !self.revisions.contains(&revision) {
            return Reply::status(404)
                .header("X-Error-Code", "RevisionNotFound")
                .header("X-Error-Message", format!("Invalid rev id: {revision}"));
        }
        let reply = |status| Reply::status(status).header("X-Repo-Commit", self.commit);
        let Some(file) = self.files.get(file) else {
            return reply(404).header("X-Error-Code", "EntryNotFound");
        };
        if let Some(store) = &file.store {
            let reply = reply(302)
                .header("X-Linked-Etag", format!("\"{}\"", file.etag))
                .header("X-Linked-Size", file.content.len())
                .header("Location", format!("{store}/{}?Signature=secret", file.etag))
                .body(b"Found. Redirecting");
            return if file.in_xet { reply.header("X-Xet-Hash", "0") } else { reply };
        }
        let range = content(request, &file.content);
        Reply { headers: [reply(0).headers, range.headers].concat(), ..range }
            .header("ETag", format!("W/\"{}\"", file.etag))
    }
}

/// A file, or the range asked for.
pub fn content(request: &Request, content: &[u8]) -> Reply {
    let range = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match range {
        None => Reply::status(200).body(content),
        Some(start) if start >= content.len() => Reply::status(416),
        Some(start) => {
            let (end, total) = (content.len() - 1, content.len());
            Reply::status(206)
                .header("Content-Range", format!("bytes {start}-{end}/{total}"))
                .body(&content[start..])
        }
    }
}

fn read(stream: &mut impl Read) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Request { method, path, headers })
}

fn write(stream: &mut impl Write, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let length = reply.body.len();
    let mut head =
        format!("HTTP/1.1 {} -\r\nConnection: close\r\nContent-Length: {length}\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.cut.unwrap_or(length)])?;
    }
    stream.flush()
}
