//! The server as a process of its own, and what Linux says about a process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a process has at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub resident_kib: u64,
    pub peak_kib: u64,
    pub threads: usize,
    pub descriptors: usize,
}

/// Reads the usage of a process; `None` if it has ended.
pub fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        resident_kib: field("VmRSS")?,
        peak_kib: field("VmHWM")?,
        threads: field("Threads")? as usize,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
    })
}

/// A server in a process of its own, which is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub address: SocketAddr,
    pub idle: Usage,
}

impl Server {
    /// Starts this program again as a server. `limit` is the number of descriptors that it may have.
    pub fn start(arguments: &[&str], limit: Option<usize>) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let mut command = match limit {
            None => Command::new(program),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(program);
                shell
            }
        };
        let mut child = command
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("the server says where it listens");
        let address = line.trim().parse().expect("an address");
        let idle = usage(child.id()).expect("the server runs");
        Self { child, stdout, address, idle }
    }

    pub fn usage(&self) -> Option<Usage> {
        usage(self.child.id())
    }

    /// Waits until the server has no more descriptors and threads than at its start. Returns how long it took.
    pub fn settle(&self, most: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        loop {
            let now = self.usage().ok_or("the server has ended")?;
            if now.descriptors <= self.idle.descriptors && now.threads <= self.idle.threads {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > most {
                return Err(format!("after {most:?} the server still has {now:?}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns how many KiB the server has allocated and not freed.
    pub fn live_kib(&mut self) -> Result<u64, String> {
        self.tell("live")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        line.trim().parse().map_err(|_| format!("no number of KiB: {line:?}"))
    }

    fn tell(&mut self, command: &str) -> Result<(), String> {
        let stdin = self.child.stdin.as_mut().ok_or("no pipe")?;
        writeln!(stdin, "{command}").map_err(|error| error.to_string())
    }

    /// Asks the server to shut down. Returns its exit status and how long it took.
    pub fn shut_down(&mut self, most: Duration) -> Result<(ExitStatus, Duration), String> {
        let begun = Instant::now();
        self.tell("shutdown")?;
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Ok((status, begun.elapsed()));
            }
            if begun.elapsed() > most {
                return Err(format!("the server runs {most:?} after its shutdown"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
