//! Four times the clients that keep the process busy: how many reviews are still answered in time.
//!
//! An API server has so many requests under way and waits for each, so more load is more connections with one review
//! each.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cluster::ControllerProcess;

use crate::reviews::{Connection, KIND_PATH, port_of};
use crate::{Result, figure, ratio};

/// How long the overload lasts.
const OVERLOAD: Duration = Duration::from_secs(30);
/// How long each step towards saturation lasts.
const STEP: Duration = Duration::from_secs(4);
/// The timeout of the API server.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures and prints.
pub fn measure(controller: &ControllerProcess<'_>, body: &str) -> Result<()> {
    let (mut best, mut saturating) = (0.0, 1);
    let mut clients = 1;
    // Saturated: twice the clients do not get a tenth more done.
    loop {
        let rate = goodput(controller, body, clients, STEP)?;
        if rate < best * 1.1 {
            break;
        }
        (best, saturating) = (rate, clients);
        clients *= 2;
    }
    figure(&format!("WorkspaceKind UPDATE, {saturating} clients: goodput"), best, "/s", None);
    let overload = goodput(controller, body, 4 * saturating, OVERLOAD)?;
    figure(&format!("  {} clients for {} s", 4 * saturating, OVERLOAD.as_secs()), overload, "/s", None);
    ratio("  lost of the maximum", 1.0 - overload / best, 0.2);
    let flood = goodput(controller, body, 400, OVERLOAD)?;
    figure("  400 clients, as two API servers at their limit", flood, "/s", None);
    ratio("  lost of the maximum", 1.0 - flood / best, 0.2);
    Ok(())
}

/// Reviews a second that are answered with a verdict before the timeout of the API server.
fn goodput(controller: &ControllerProcess<'_>, body: &str, clients: usize, time: Duration) -> Result<f64> {
    let port = port_of(&controller.webhook_url())?;
    let (over, good) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = |mut connection: Connection| -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            let allowed = connection.post(KIND_PATH, body)?.contains(r#""allowed":true"#);
            if allowed && start.elapsed() < PATIENCE {
                good.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let open = |_| Connection::open(port, controller.ca_pem());
    let connections = (0..clients).map(open).collect::<Result<Vec<Connection>>>()?;
    std::thread::scope(|scope| {
        let start = Instant::now();
        let clients: Vec<_> = connections.into_iter().map(|connection| scope.spawn(|| client(connection))).collect();
        std::thread::sleep(time);
        let (good, taken) = (good.load(Ordering::Relaxed), start.elapsed());
        over.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)?;
        #[allow(clippy::cast_precision_loss)]
        Ok(good as f64 / taken.as_secs_f64())
    })
}
