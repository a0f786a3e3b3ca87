//! Honest clients beside an attack, whose latency is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ws_std::{CloseCode, Connector, Message};

use crate::Numbers;

const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(4);
/// What one echo may take on a machine that is busy with the attack, too.
const MOST: Duration = Duration::from_secs(2);
/// What 99 of 100 may take at most, if there are as many.
const P99_MOST: Duration = Duration::from_millis(500);

/// Clients that send messages and check the answers, until they are told to stop.
#[derive(Debug)]
pub struct Honest {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Vec<Duration>, String>>>,
}

impl Honest {
    pub fn start(connector: &Connector, url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS)
            .map(|n| {
                let (connector, url, stop) = (connector.clone(), url.to_owned(), stop.clone());
                thread::spawn(move || {
                    talk(&connector, &url, n as u64, &stop)
                        .map_err(|error| format!("honest: {error}"))
                })
            })
            .collect();
        Self { stop, clients }
    }

    pub fn beside(address: SocketAddr) -> Self {
        Self::start(&Connector::builder(), &format!("ws://{address}/"))
    }

    /// Returns the latency: how many echoes, their median, the 99th percentile and the longest.
    ///
    /// # Errors
    ///
    /// If a client had no right answer, or the 99th percentile of at least 100 echoes is above half a second.
    pub fn latency(self) -> Result<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.join().map_err(|_| "an honest client has panicked")??);
        }
        all.sort();
        if all.is_empty() {
            return Err("no honest client was served".to_owned());
        }
        let at = |part: usize| all[(all.len() - 1) * part / 100];
        let ms = |part| at(part).as_secs_f64() * 1e3;
        let figures = format!(
            "{} honest echoes, median {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            all.len(),
            ms(50),
            ms(99),
            ms(100)
        );
        if all.len() >= 100 && at(99) > P99_MOST { Err(figures) } else { Ok(figures) }
    }
}

fn talk(
    connector: &Connector,
    url: &str,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Vec<Duration>, ws_std::Error> {
    let mut ws = connector.connect(url)?;
    ws.set_read_timeout(Some(MOST));
    let mut numbers = Numbers::new(seed + 1);
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let message = Message::from(numbers.bytes(100));
        let begun = Instant::now();
        ws.send(message.clone())?;
        let answer = ws.read()?;
        times.push(begun.elapsed());
        if answer.as_ref() != Some(&message) {
            return Err(std::io::Error::other("a wrong answer").into());
        }
        thread::sleep(PAUSE);
    }
    let how = ws.close(CloseCode::NORMAL, "")?;
    if !how.clean {
        return Err(std::io::Error::other(how.to_string()).into());
    }
    Ok(times)
}
