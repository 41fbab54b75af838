//! The threads that a model computes on.

use std::sync::Arc;

use candle_core::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::kernels::pool;

/// The threads that a model computes on: all, or up to a limit. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Threads(Option<Arc<ThreadPool>>);

impl Threads {
    /// At most `limit` threads; `None`: all there are.
    pub(super) fn new(limit: Option<usize>) -> Result<Self> {
        let build = |limit: usize| {
            ThreadPoolBuilder::new().num_threads(limit).build().map(Arc::new).map_err(|error| {
                Error::option("threads", format!("the system does not give {limit}: {error}"))
            })
        };
        match limit {
            Some(0) => Err(Error::option("threads", "a model needs at least one")),
            limit => Ok(Self(limit.map(build).transpose()?)),
        }
    }

    /// Calls `work` with no more threads than these: those of our kernels, and rayon's, which candle
    /// uses.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            None => work(),
            Some(threads) => {
                let limit = threads.current_num_threads();
                threads.install(|| pool::with_limit(limit, work))
            }
        }
    }

    /// As [`run`](Self::run), with one hand-over to candle's threads for all of it, where it may have
    /// all, instead of one per operation.
    pub(super) fn run_on<T: Send>(&self, device: &Device, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            None => device.with_context(work),
            Some(_) => self.run(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use rayon::current_num_threads;

    use super::*;

    #[test]
    fn work_gets_the_threads_it_may_have() -> Result<()> {
        let all = pool::threads();
        for limit in [1, 2] {
            let threads = Threads::new(Some(limit))?;
            let found = threads.run(|| (pool::threads(), current_num_threads()));
            assert_eq!(found, (all.min(limit), limit));
            let found = threads.run_on(&Device::Cpu, || (pool::threads(), current_num_threads()));
            assert_eq!(found, (all.min(limit), limit));
        }
        assert_eq!(Threads::default().run(pool::threads), all);
        assert!(Threads::new(Some(0)).is_err_and(|error| error.is_caller_error()));
        Ok(())
    }
}
