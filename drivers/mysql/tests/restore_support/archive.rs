//! A dump in memory, and a restore of it, driven as the engine does.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Digest, Driver, Error, Facts, NodePath, PartName, PartReader, Result,
    StageContext, Staging,
};
use dumprestore_mysql::MysqlConfig;
use futures_util::{StreamExt, TryStreamExt};

pub struct Archive {
    path: NodePath,
    facts: Facts,
    parts: BTreeMap<String, (Vec<u8>, Option<u64>)>,
}

impl ArchivedNode for Archive {
    fn path(&self) -> &NodePath {
        &self.path
    }
    fn kind(&self) -> &str {
        "mysql"
    }
    fn format(&self) -> u32 {
        1
    }
    fn facts(&self) -> &Facts {
        &self.facts
    }
    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        Box::new(self.parts.iter().map(|(name, (content, rows))| {
            ArchivedPart::new(PartName::new(name).unwrap(), content.len() as u64, Digest::new([0; 32]))
                .with_rows(*rows)
        }))
    }
    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.parts[name.as_str()].0.clone())))
    }
}

impl Archive {
    pub async fn of(config: MysqlConfig) -> Arc<Self> {
        let dump = crate::dump_support::dump(config).await;
        let rows = dump.rows;
        let parts = dump.parts.into_iter();
        let parts =
            parts.map(|(name, content)| (name.clone(), (content, rows.get(&name).copied()))).collect();
        Arc::new(Self { path: NodePath::new("db").unwrap(), facts: dump.facts, parts })
    }

    /// The same with one part changed.
    pub fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Arc<Self> {
        let mut parts = self.parts.clone();
        change(&mut parts.get_mut(name).unwrap().0);
        Arc::new(Self { path: self.path.clone(), facts: self.facts.clone(), parts })
    }
}

/// A run of its own.
pub fn run() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("run-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub async fn load(staging: &dyn Staging, archive: &Arc<Archive>) -> Result<()> {
    let parts: Vec<ArchivedPart> = archive.parts().filter(|part| staging.wants(part)).collect();
    let mut loads = Vec::new();
    for part in parts {
        loads.push(async move {
            let mut from = archive.read(&part.name)?;
            staging.load(&part, &mut PartReader::new(&mut *from)).await
        });
    }
    futures_util::stream::iter(loads).buffer_unordered(3).try_collect::<Vec<()>>().await.map(drop)
}

/// Up to the commit.
pub async fn prepared(
    driver: &dyn Driver,
    archive: &Arc<Archive>,
    cx: StageContext,
) -> Result<Box<dyn Staging>> {
    let mut staging = driver.stage(archive.clone(), cx).await?;
    let done = async {
        staging.begin().await?;
        load(&*staging, archive).await?;
        staging.prepare().await
    };
    match done.await {
        Ok(()) => Ok(staging),
        Err(error) => match staging.rollback().await {
            Ok(()) => Err(error),
            Err(worse) => Err(Error::stuck("rolled back badly").with_source(worse)),
        },
    }
}
