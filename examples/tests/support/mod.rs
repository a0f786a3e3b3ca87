//! The examples as programs that run.

#![allow(dead_code, unreachable_pub, reason = "each test program uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

pub const LONG: Duration = Duration::from_secs(60);

/// `cargo test` builds the examples beside this program: target/PROFILE/examples.
pub fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "no {}: run all tests of the package", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a program to its end, with `input` on its standard input.
pub fn run(name: &str, args: &[&str], input: &str) -> Output {
    let mut child = example(name).args(args).stdin(Stdio::piped()).spawn().unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (done, wait) = mpsc::channel();
    let id = child.id();
    thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    wait.recv_timeout(LONG).unwrap_or_else(|_| panic!("{name} (process {id}) hangs"))
}

/// Status, standard output and standard error.
pub fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A server that is running; it is ended with the test.
pub struct Server {
    pub child: Child,
    pub url: String,
}

impl Server {
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut child = example(name).args(args).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (done, wait) = mpsc::channel();
        thread::spawn(move || done.send(stdout.lines().next()));
        let mut server = Self { child, url: String::new() };
        let line = wait.recv_timeout(LONG).unwrap().expect("a first line").unwrap();
        server.url = line.strip_prefix("listening on ").expect("an address").to_owned();
        assert!(server.url.starts_with("ws://127.0.0.1:") && !server.url.ends_with(":0"));
        server
    }

    /// The URL of a WebSocket below the server's.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Ends the server, which must be at rest: all that it has said on standard error.
    pub fn stop(mut self) -> String {
        // What is said about a connection comes after its end.
        thread::sleep(Duration::from_millis(200));
        self.child.kill().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// Speaks HTTP to the server: all that it answers.
    pub fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("ws://").unwrap()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program to talk with, line by line; it is ended with the test.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Program {
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut child = example(name).args(args).stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    /// Says a line on standard input.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        self.stdout.recv_timeout(LONG).expect("a line of output")
    }

    /// The next line of standard error.
    pub fn complaint(&self) -> String {
        self.stderr.recv_timeout(LONG).expect("a line of errors")
    }

    /// Waits for a line of standard error that holds this.
    pub fn complains(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.stderr.recv_timeout(LONG) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no {part:?} in {seen:#?}"),
            }
        }
    }

    /// As Ctrl-C does.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Waits for the end: the status, and what was not read of standard output and standard error.
    pub fn end(mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < LONG, "the program does not end");
            thread::sleep(Duration::from_millis(10));
        };
        (status.code(), self.stdout.iter().collect(), self.stderr.iter().collect())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (found, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| found.send(line))
    });
    lines
}
