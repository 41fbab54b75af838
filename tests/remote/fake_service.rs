//! A local HTTP server that plays a service, and its faults.
//!
//! Plain sockets: an HTTP library would not send a body that is shorter than it says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    pieces: Vec<Vec<u8>>,
    /// Hang up without the end of the body.
    is_cut: bool,
    /// Send nothing more, until the client hangs up.
    is_held: bool,
}

impl Reply {
    pub fn json(json: &Value) -> Self {
        Self::of(200, "application/json").piece(json.to_string())
    }

    /// Events of these data, and the last.
    pub fn events(data: &[Value]) -> Self {
        let reply = Self::of(200, "text/event-stream; charset=utf-8");
        data.iter().fold(reply, |reply, data| reply.piece(format!("data: {data}\n\n")))
    }

    pub fn error(status: u16, message: &str) -> Self {
        let error =
            json!({"message": message, "type": "some_type", "param": null, "code": "some_code"});
        Self::of(status, "application/json")
            .header("x-request-id", "req_7")
            .piece(json!({"error": error}).to_string())
    }

    pub fn of(status: u16, kind: &str) -> Self {
        Self { status, ..Self::default() }.header("Content-Type", kind)
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn piece(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.pieces.push(bytes.into());
        self
    }

    pub fn done(self) -> Self {
        self.piece("data: [DONE]\n\n")
    }

    pub fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    pub fn hold(mut self) -> Self {
        self.is_held = true;
        self
    }
}

/// A piece of a streamed chat.
pub fn delta(delta: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "frontier-1-2026", "choices": [
        {"index": 0, "delta": delta, "finish_reason": null},
    ]})
}

pub fn said(text: &str) -> Value {
    delta(json!({"content": text}))
}

/// The last piece of a choice.
pub fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

pub fn usage(prompt: usize, completion: usize) -> Value {
    json!({"choices": [], "usage": {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 2},
    }})
}

/// A whole answer to a chat.
pub fn answer(message: Value) -> Reply {
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    Reply::json(&json!({"object": "chat.completion", "choices": [choice], "usage": usage}))
}

/// A server that answers the n-th request by a function, and remembers them.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Request>>>,
    hung_up: Mutex<Receiver<()>>,
}

impl Server {
    pub fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, hung_up) = channel();
        let (answer, log_of_thread) = (Arc::new(answer), log.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log, tell) = (answer.clone(), log_of_thread.clone(), tell.clone());
                thread::spawn(move || serve(stream, &*answer, &log, &tell));
            }
        });
        Self { url, log, hung_up: Mutex::new(hung_up) }
    }

    /// Gives the same to every request.
    pub fn always(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone())
    }

    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a client has hung up on a reply that holds.
    pub fn wait_for_hanging_up(&self) {
        self.hung_up.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap();
    }
}

/// The requests of one connection.
fn serve(
    stream: TcpStream,
    answer: &(impl Fn(usize, &Request) -> Reply + ?Sized),
    log: &Mutex<Vec<Request>>,
    hung_up: &Sender<()>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    stream.set_nodelay(true).ok()?;
    loop {
        let request = read(&mut reader)?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        let reply = answer(number, &request);
        write(&mut stream, &reply).ok()?;
        if reply.is_held {
            // Nothing more comes from the client but its end.
            let _either = reader.read(&mut [0]);
            let _nobody_asks = hung_up.send(());
            return None;
        }
        if reply.is_cut {
            return None;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: BTreeMap<_, _> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// In chunks, so that a cut shows.
fn write(stream: &mut impl Write, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} -\r\nTransfer-Encoding: chunked\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    for piece in &reply.pieces {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&chunk)?;
        stream.flush()?;
    }
    if !reply.is_cut && !reply.is_held {
        stream.write_all(b"0\r\n\r\n")?;
    }
    stream.flush()
}

/// An address where nothing listens.
pub fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
