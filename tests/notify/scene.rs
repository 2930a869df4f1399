//! A store, specs with sinks, and what is written into journals.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serin::http::{Secrets, Tally};
use serin::model::{AnalysisPolicy, Canary, Release, Sink, SinkFormat, Strategy, World};
use serin::notify::Notifier;
use serin::rollout::Record;
use serin::store::redb::RedbStore;
use serin::store::{Batch, Store};
use serin_testbed::wait;
use tokio::sync::watch;

use crate::server::Server;

/// Long enough for a machine with much to do.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn sink(format: SinkFormat, address: SocketAddr, events: &[&str]) -> Sink {
    let events = events.iter().map(|&event| event.to_owned()).collect();
    Sink { format, url: format!("http://{address}/hook"), secret: None, events }
}

/// A notifier's surroundings. Ends it when dropped.
pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tally: Tally,
    worlds: watch::Sender<Option<Arc<World>>>,
    hints: watch::Sender<()>,
    _stop: watch::Sender<bool>,
}

impl Scene {
    /// A notifier of the release `checkout`, which has these sinks.
    pub(crate) fn start(directory: &Path, sinks: Vec<Sink>) -> Self {
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(directory).expect("a store"));
        let (worlds, specs) = watch::channel(None);
        let (hints, hinted) = watch::channel(());
        let (stop, stopped) = watch::channel(false);
        let notifier = Notifier::new(Arc::clone(&store), Arc::new(Secrets::default()));
        let tally = notifier.tally();
        tokio::spawn(notifier.run(specs, hinted, stopped));
        let scene = Self { store, tally, worlds, hints, _stop: stop };
        scene.apply(sinks);
        scene
    }

    /// The specs have these sinks from now on.
    pub(crate) fn apply(&self, sinks: Vec<Sink>) {
        let strategy = Strategy::Canary(Canary::default());
        let mut release = Release::new("checkout", "shop", "v2", strategy, AnalysisPolicy::default());
        release.notify = sinks;
        let releases = [(release.name.clone(), release)].into();
        self.worlds.send_replace(Some(Arc::new(World { releases, ..World::default() })));
    }

    /// Writes into the journal, and gives a hint.
    pub(crate) fn happens(&self, records: impl IntoIterator<Item = Record>) {
        let records = records.into_iter().map(|record| ("checkout".to_owned(), record)).collect();
        let at = Timestamp::from_second(1_700_000_000).expect("a time");
        self.store.commit(&Batch { at, records, ..Batch::default() }).expect("kept");
        self.hints.send_replace(());
    }

    /// Waits until the store knows that so many sinks have been told as far as this.
    pub(crate) async fn told(&self, sinks: usize, sequence: u64) {
        let look = || async {
            let told: Vec<u64> = self.store.notified()?.into_values().collect();
            ensure!(told == vec![sequence; sinks], "told {told:?}");
            Ok(())
        };
        wait::until("all sinks to be told", PATIENCE, look).await.expect("they are told");
    }
}

pub(crate) fn promoted(version: u64) -> Record {
    Record::Promoted { version: format!("v{version}") }
}

pub(crate) fn held(version: u64) -> Record {
    Record::Held { reason: format!("v{version} & others"), explanation: None }
}

/// Waits until a server has been asked so often.
pub(crate) async fn asked(server: &Server, times: usize) -> Vec<String> {
    let look = || async {
        let keys: Vec<String> = server.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
        ensure!(keys.len() >= times, "asked {} of {times} times", keys.len());
        Ok(keys) as Result<_>
    };
    wait::until("the sink to be told", PATIENCE, look).await.expect("it is told")
}

pub(crate) fn keys(sequences: impl IntoIterator<Item = u64>) -> Vec<String> {
    sequences.into_iter().map(|sequence| format!("checkout/{sequence}")).collect()
}
