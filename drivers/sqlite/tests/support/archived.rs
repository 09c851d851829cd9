//! Archives of any content, also of such as no dump has.

use std::io::Read;
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Digest, Facts, NodePath, PartName, PartReader, Result, Staging,
};

use super::runs::Place;

#[derive(Clone)]
pub struct Archived {
    pub path: NodePath,
    pub kind: String,
    pub format: u32,
    pub facts: Facts,
    pub bytes: Vec<u8>,
    pub part: &'static str,
}

impl Archived {
    /// An archive of that image, with facts that fit it.
    pub fn new(bytes: Vec<u8>) -> Self {
        let page_size = match bytes.get(16..18) {
            Some([0, 1]) => 65536,
            Some([high, low]) => u32::from(*high) * 256 + u32::from(*low),
            _ => 4096,
        };
        Self {
            path: NodePath::new("node").unwrap(),
            kind: "sqlite".into(),
            format: 1,
            facts: Facts::from([("page_size".to_owned(), page_size.to_string())]),
            bytes,
            part: "database.sqlite",
        }
    }
}

impl ArchivedNode for Archived {
    fn path(&self) -> &NodePath {
        &self.path
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn format(&self) -> u32 {
        self.format
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        let name = PartName::new(self.part).unwrap();
        Box::new(std::iter::once(ArchivedPart::new(name, self.bytes.len() as u64, Digest::new([0; 32]))))
    }

    fn read(&self, _name: &PartName) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(self.bytes.clone())))
    }
}

/// Stages and loads what a dump may never have made.
pub async fn staged(place: &Place, archived: Archived) -> Result<Box<dyn Staging>> {
    let archived = Arc::new(archived);
    let mut staging = place.driver.stage(archived.clone(), place.context()).await?;
    staging.begin().await.unwrap();
    let part = archived.parts().next().unwrap();
    staging.load(&part, &mut PartReader::new(&mut archived.read(&part.name)?)).await?;
    Ok(staging)
}
