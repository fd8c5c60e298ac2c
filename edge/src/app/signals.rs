//! The signals that an edge listens to: stop, stop now, load again. On a thread of its own, as a start or a stop that hangs
//! in the disk must be ended by them too.

use std::io;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long an edge that is to end at once may take to say so and to remove its files.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What was asked of the process so far.
pub(super) struct Signals {
    /// SIGTERM or SIGINT came.
    pub(super) stop: CancellationToken,
    /// A second one came. Whoever still works [`AT_ONCE`] later is cut off by the end of the process.
    pub(super) now: CancellationToken,
    /// One for each burst of SIGHUP.
    pub(super) reload: mpsc::Receiver<()>,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    ///
    /// # Errors
    /// When the system refuses a handler or the thread.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (told, reload) = mpsc::channel(1);
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        let heard = {
            let _inside = runtime.enter();
            Heard {
                term: signal(SignalKind::terminate())?,
                int: signal(SignalKind::interrupt())?,
                hup: signal(SignalKind::hangup())?,
                stop: stop.clone(),
                now: now.clone(),
                reload: told,
            }
        };
        std::thread::Builder::new().name("edge-signals".to_owned()).spawn(move || runtime.block_on(heard.follow()))?;
        Ok(Self { stop, now, reload })
    }
}

struct Heard {
    term: Signal,
    int: Signal,
    hup: Signal,
    stop: CancellationToken,
    now: CancellationToken,
    reload: mpsc::Sender<()>,
}

impl Heard {
    /// Ends only with the process.
    async fn follow(mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => {}
                _ = self.int.recv() => {}
                _ = self.hup.recv() => {
                    // Full means that a load is due anyway.
                    let _ = self.reload.try_send(());
                    continue;
                }
            }
            if self.stop.is_cancelled() {
                break;
            }
            self.stop.cancel();
        }
        self.now.cancel();
        tokio::time::sleep(AT_ONCE).await;
        tracing::warn!("a second signal came: ended without waiting for what hangs");
        std::process::exit(0);
    }
}
