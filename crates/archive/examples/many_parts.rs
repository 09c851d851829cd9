//! What many parts cost: `many_parts write N FILE`, then `open`, `list`, `verify` or `read` FILE, prints the time taken and
//! the process's peak of resident memory.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use dumprestore_archive::*;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let begun = Instant::now();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", parts, file] => write(parts.parse()?, file)?,
        ["verify", file] => verify(file)?,
        ["open", file] => println!("{:?}", open(file)?),
        ["list", file] => list(file)?,
        ["read", file] => read(file)?,
        _ => return Err("write N FILE; or open, list, verify or read FILE".into()),
    }
    println!("{:8.2} s {:8.1} MB at the peak: {}", begun.elapsed().as_secs_f64(), peak()?, args.join(" "));
    Ok(())
}

fn name(at: u64) -> String {
    format!("files/{:03}/{:03}/photo-{at:08}.jpg", at / 1000 % 1000, at / 100 % 10)
}

fn write(parts: u64, file: &str) -> Result<(), Failure> {
    let output = FileOutput::create(file, Existing::Replace)?;
    let mut options = WriterOptions::default();
    options.scratch = Some(std::env::temp_dir());
    let writer = ArchiveWriter::create(Box::new(output), options)?;
    let tool = Tool { name: "example".into(), version: "1.0".into() };
    let mut manifest = Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
    manifest.nodes.push(Node::new("uploads", "filesystem", 1));
    for at in 0..parts {
        let mut part = writer.part(&EntryName::new("uploads", &name(at))?, Compression::Deflate)?;
        part.write_all(&at.to_le_bytes())?;
        writer.list("uploads", part.finish()?.id, at, &Listed::default())?;
    }
    writer.seal(manifest)?;
    Ok(())
}

fn open(file: &str) -> Result<Archive, Failure> {
    let file = Arc::new(File::open(file)?);
    Ok(Archive::open_with(file, &Limits::default(), Some(std::env::temp_dir()))?)
}

fn verify(file: &str) -> Result<(), Failure> {
    println!("{:?}", open(file)?.verify(&VerifyOptions::default(), &|_| {}, &|| false)?);
    Ok(())
}

/// Writes the manifest to nowhere, as `inspect --json` does.
fn list(file: &str) -> Result<(), Failure> {
    Ok(serde_json::to_writer(std::io::BufWriter::new(std::io::sink()), &open(file)?.document())?)
}

/// Reads parts by name, in an order that is not theirs.
fn read(file: &str) -> Result<(), Failure> {
    let archive = open(file)?;
    let parts = archive.totals("uploads")?.parts;
    let mut content = Vec::new();
    for at in 0..parts {
        let at = at * 7919 % parts;
        content.clear();
        archive.part("uploads", &name(at))?.read_to_end(&mut content)?;
        assert_eq!(content, at.to_le_bytes());
    }
    Ok(())
}

fn peak() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
