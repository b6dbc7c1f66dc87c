//! Leader election: one replica reconciles, and another one follows when it stops or is cut off.
//!
//! A leader is who is named in the Lease and renews it, by the record and the rules of client-go (`tools/leaderelection`), so
//! that this and the Go controller exclude each other. Every replica watches the Lease: the next leader needs no poll to see that
//! it was released, and the leader sees at once that it was replaced or that the Lease was deleted. [`observed`] has the rules,
//! [`elector`] keeps them, and no write leaves a process whose term of [`Leadership`] has ended.

mod elector;
mod holding;
mod leadership;
mod observed;

use std::future::Future;

pub use elector::Elector;
pub use holding::{Holding, who_holds};
pub use leadership::{Leadership, LeadershipState};
pub use observed::written_by;

/// Runs `work` whenever this replica is the leader, until it returns, and releases the Lease. Work that is under way when the Lease
/// is lost is dropped.
///
/// It takes part in the election from when it is `ready`: nobody else leads while this one could not work yet. `shutdown` is when a replica that does not lead stops to wait; work has to return by itself then.
pub async fn run<E, F>(
    mut elector: Elector,
    ready: impl Future<Output = ()>,
    work: impl Fn() -> F,
    shutdown: impl Future<Output = ()>,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return Ok(()),
        () = ready => {}
    }
    loop {
        tokio::select! {
            () = &mut shutdown => {
                elector.release().await;
                return Ok(());
            }
            () = elector.acquire() => {}
        }
        let result = tokio::select! {
            result = work() => result,
            () = elector.renew() => continue,
        };
        elector.release().await;
        return result;
    }
}

#[cfg(test)]
mod tests;
