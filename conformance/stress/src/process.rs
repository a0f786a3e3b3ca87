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

/// What a process has at the moment, and how many bytes it has allocated and not freed.
pub type Sample = (Usage, u64);

/// A server in a process of its own.
#[derive(Debug)]
pub struct Server {
    process: Process,
    pub address: SocketAddr,
    /// What the process had before it made the server.
    pub before: Sample,
    pub idle: Usage,
}

/// What a server has kept until it was stopped.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// How many bytes the engines of its pool had.
    pub engines: u64,
    /// How many bytes its settings and, with TLS, the sessions had.
    pub settings: u64,
    /// How long it took to stop.
    pub took: Duration,
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
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut process = Process { child, stdout };
        let before = process.sample().expect("the process runs");
        let line = process.ask("start").expect("the server says where it listens");
        let address = line.parse().expect("an address");
        let idle = process.usage().expect("the server runs");
        Self { process, address, before, idle }
    }

    pub fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }

    /// Returns what the process has, and how many bytes it has allocated and not freed.
    pub fn sample(&mut self) -> Result<Sample, String> {
        self.process.sample()
    }

    /// Waits until the server has no more descriptors and threads than at its start. If it was stopped, the process must
    /// have no more of them than before it made the server. Returns how long that took.
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

    /// Shuts the server down and drops all that belongs to it. Its process goes on.
    pub fn stop(&mut self) -> Result<Kept, String> {
        let begun = Instant::now();
        let line = self.process.ask("stop")?;
        let took = begun.elapsed();
        self.idle = self.before.0;
        let mut bytes = line.split(' ').map_while(|bytes| bytes.parse().ok());
        match (bytes.next(), bytes.next()) {
            (Some(engines), Some(settings)) => Ok(Kept { engines, settings, took }),
            _ => Err(format!("not what the server has kept: {line:?}")),
        }
    }

    /// Asks the process to shut down. Returns its exit status and how long it took.
    pub fn shut_down(&mut self, most: Duration) -> Result<(ExitStatus, Duration), String> {
        let begun = Instant::now();
        self.process.tell("shutdown")?;
        loop {
            if let Some(status) =
                self.process.child.try_wait().map_err(|error| error.to_string())?
            {
                return Ok((status, begun.elapsed()));
            }
            if begun.elapsed() > most {
                return Err(format!("the server runs {most:?} after its shutdown"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The process of a server, which is killed when this is dropped. [`service::serve`](crate::service::serve) knows the
/// commands.
#[derive(Debug)]
struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn usage(&self) -> Option<Usage> {
        usage(self.child.id())
    }

    fn sample(&mut self) -> Result<Sample, String> {
        let line = self.ask("live")?;
        let live = line.parse().map_err(|_| format!("no number of bytes: {line:?}"))?;
        Ok((self.usage().ok_or("the server has ended")?, live))
    }

    /// Returns the line that answers a command.
    fn ask(&mut self, command: &str) -> Result<String, String> {
        self.tell(command)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim().to_owned())
    }

    fn tell(&mut self, command: &str) -> Result<(), String> {
        let stdin = self.child.stdin.as_mut().ok_or("no pipe")?;
        writeln!(stdin, "{command}").map_err(|error| error.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
