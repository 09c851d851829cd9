//! The code in `docs/driver-guide.md` is code that compiles: each block stands in the file that the guide names for it.

#![allow(clippy::unwrap_used, reason = "a guide that can't be read ends the test")]

use std::path::Path;

/// A block of Rust in the guide, and the file that is named before it.
struct Block {
    line: usize,
    file: String,
    code: Vec<String>,
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut file, mut open) = (String::new(), false);
    for (number, line) in (1..).zip(guide.lines()) {
        if let Some(named) = line.strip_prefix("<!-- from ").and_then(|rest| rest.strip_suffix(" -->")) {
            named.clone_into(&mut file);
        } else if line.starts_with("```") {
            open = !open && line == "```rust";
            if open {
                blocks.push(Block { line: number, file: std::mem::take(&mut file), code: Vec::new() });
            }
        } else if open && let Some(block) = blocks.last_mut() {
            block.code.push(line.trim().to_owned());
        }
    }
    blocks
}

#[test]
fn all_code_in_the_guide_is_code_that_compiles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = std::fs::read_to_string(root.join("docs/driver-guide.md")).unwrap();
    let blocks = blocks(&guide);
    assert!(blocks.len() > 10, "the guide has only {} blocks of code", blocks.len());
    for Block { line, file, code } in blocks {
        assert!(!file.is_empty(), "line {line}: no file is named for this block");
        let source = std::fs::read_to_string(root.join(&file)).unwrap();
        let source: Vec<&str> = source.lines().map(str::trim).collect();
        let stands = source.windows(code.len()).any(|lines| lines == code.as_slice());
        assert!(stands, "line {line}: this is not in {file}:\n{}", code.join("\n"));
    }
}
