//! Keys in the character set of a column.

use dumprestore_driver::Result;

use crate::connect::Session;
use crate::quote;

/// How many keys the server converts by one statement.
const AT_ONCE: usize = 300;

/// Puts UTF-8 keys into that character set. `None`: it can't hold them, or they are no UTF-8.
pub(super) async fn converted(
    session: &mut Session,
    charset: &str,
    keys: &[&[u8]],
) -> Result<Vec<Option<Vec<u8>>>> {
    let texts = keys.iter().map(|key| std::str::from_utf8(key).ok());
    Ok(match charset {
        "utf8mb4" => texts.map(|text| Some(text?.as_bytes().to_vec())).collect(),
        "utf8" | "utf8mb3" => {
            let fits = |text: &&str| text.chars().all(|c| c.len_utf8() <= 3);
            texts.map(|text| Some(text.filter(fits)?.as_bytes().to_vec())).collect()
        }
        "ascii" => texts.map(|text| Some(text.filter(|text| text.is_ascii())?.as_bytes().to_vec())).collect(),
        charset => by_server(session, charset, &texts.collect::<Vec<_>>()).await?,
    })
}

async fn by_server(
    session: &mut Session,
    charset: &str,
    texts: &[Option<&str>],
) -> Result<Vec<Option<Vec<u8>>>> {
    let mut converted = Vec::with_capacity(texts.len());
    for texts in texts.chunks(AT_ONCE) {
        let mut columns = Vec::new();
        for text in texts.iter().flatten() {
            let there = format!("CONVERT({} USING {charset})", quote::portable(text));
            // What it can't hold, it makes a question mark of.
            let back = format!(
                "CAST(CONVERT({there} USING utf8mb4) AS BINARY) = {}",
                quote::binary(text.as_bytes())
            );
            columns.push(format!("IF({back}, CAST({there} AS BINARY), NULL)"));
        }
        if columns.is_empty() {
            converted.extend(texts.iter().map(|_| None));
            continue;
        }
        let row = session
            .rows(format!("SELECT {}", columns.join(", ")))
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let mut nth = 0;
        for text in texts {
            converted.push(text.and_then(|_| row.bytes(nth).map(<[u8]>::to_vec)));
            nth += usize::from(text.is_some());
        }
    }
    Ok(converted)
}
