//! How the rows of a table are asked for.

use crate::archived::{Column, Form, History};
use crate::catalog::{self, Kind, Relation};
use crate::connect::Server;
use crate::quote;

/// A table's columns in the archive, and the query of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) columns: Vec<Column>,
    pub(super) history: Option<History>,
    expressions: String,
    from: String,
}

impl Reading {
    /// How `table` is read, of which the server tells those `columns`.
    pub(super) fn new(server: &Server, table: &Relation, columns: &[catalog::Column]) -> Self {
        let history = (table.kind == Kind::Versioned).then(|| history(server, columns));
        let kept = history == Some(History::Kept);
        let mut read: Vec<_> = columns
            .iter()
            .filter(|column| !column.generated && (kept || !column.of_period))
            .map(|column| (column.name.clone(), form(server, column), expression(column)))
            .collect();
        if kept && !columns.iter().any(|column| column.of_period) {
            // They have no place among the columns, only names.
            let hidden = ["row_start", "row_end"];
            read.extend(hidden.map(|name| (name.to_owned(), Form::Bytes, quote::name(name))));
        }
        let mut expressions: Vec<_> = read.iter().map(|(_, _, expression)| expression.as_str()).collect();
        if expressions.is_empty() {
            // All its columns are generated: rows are empty lines.
            expressions.push("''");
        }
        let past = if kept { " FOR SYSTEM_TIME ALL" } else { "" };
        Self {
            expressions: expressions.join(", "),
            from: format!("{}{past}", quote::name(&table.name)),
            columns: read.into_iter().map(|(name, form, _)| Column { name, form }).collect(),
            history,
        }
    }

    /// The query of all rows, in the order in which they lie.
    pub(super) fn whole(&self) -> String {
        // Through no index: one that holds all columns may be smaller, and is in another order.
        format!("SELECT {} FROM {} USE INDEX ()", self.expressions, self.from)
    }

    /// The query of those rows that `condition` is true of, which is one on the primary key.
    pub(super) fn range(&self, condition: &str) -> String {
        format!("SELECT {} FROM {} FORCE INDEX (PRIMARY) WHERE {condition}", self.expressions, self.from)
    }
}

/// Rows of the past can be put back by newer servers, and only if they are told apart by time, not by transaction.
fn history(server: &Server, columns: &[catalog::Column]) -> History {
    let by_transaction = columns.iter().any(|column| column.of_period && column.data_type == "bigint");
    match server.is_mariadb_since(10, 11, 0) && !by_transaction {
        true => History::Kept,
        false => History::Lost,
    }
}

/// What the server would take for something else if it came as bytes.
fn form(server: &Server, column: &catalog::Column) -> Form {
    let texts: &[&str] = if server.is_mariadb() { &["uuid", "inet6", "inet4"] } else { &["json"] };
    if texts.contains(&column.data_type.as_str()) { Form::Text } else { Form::Bytes }
}

fn expression(column: &catalog::Column) -> String {
    let name = quote::name(&column.name);
    match column.data_type.as_str() {
        // As it is, it would be printed with six digits.
        "float" => format!("{name} * 1e0"),
        "enum" => enumerated(&column.column_type, name),
        _ => name,
    }
}

/// A value that is none of an `ENUM`'s is printed as `''`. Where that is a member as well, a text is read that is none, which a
/// server takes for such a value again.
fn enumerated(column_type: &str, name: String) -> String {
    let members = members(column_type);
    if !members.iter().any(String::is_empty) {
        return name;
    }
    let taken = |text: &String| members.iter().any(|member| member.to_lowercase().contains(text));
    let none = (1..).map(|number| format!("no member {number}")).find(|text| !taken(text));
    format!("IF({name} + 0 = 0, {}, {name})", quote::literal(&none.unwrap_or_default()))
}

/// Of `enum('a','it''s')`, what stands in quotes, and with a backslash and more where a text has one.
fn members(column_type: &str) -> Vec<String> {
    let mut members = Vec::new();
    let mut chars = column_type.chars().peekable();
    while chars.by_ref().any(|c| c == '\'') {
        let mut member = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_none() => break,
                '\\' => member.extend(chars.next()),
                c => member.push(c),
            }
        }
        members.push(member);
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: &str, generated: bool, of_period: bool) -> catalog::Column {
        catalog::Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            charset: None,
            collation: None,
            generated,
            of_period,
        }
    }

    fn table(kind: Kind) -> Relation {
        Relation {
            name: "t`1".to_owned(),
            kind,
            engine: Some("InnoDB".to_owned()),
            transactional: true,
            rows: 0,
            bytes: 0,
            collation: None,
            comment: String::new(),
        }
    }

    #[test]
    fn generated_columns_are_not_read_and_floats_with_all_digits() {
        let columns = [
            column("a", "int", false, false),
            column("g", "int", true, false),
            column("f", "float", false, false),
        ];
        let reading = Reading::new(&Server::new("10.11.6-MariaDB"), &table(Kind::Table), &columns);
        assert_eq!(reading.whole(), "SELECT `a`, `f` * 1e0 FROM `t``1` USE INDEX ()");
        assert_eq!(
            reading.range("`a` < 3"),
            "SELECT `a`, `f` * 1e0 FROM `t``1` FORCE INDEX (PRIMARY) WHERE `a` < 3"
        );
        assert_eq!(reading.columns.len(), 2);
    }

    #[test]
    fn a_table_of_generated_columns_has_rows_of_nothing() {
        let columns = [column("g", "int", true, false)];
        let reading = Reading::new(&Server::new("8.0.36"), &table(Kind::Table), &columns);
        assert_eq!(reading.whole(), "SELECT '' FROM `t``1` USE INDEX ()");
    }

    #[test]
    fn what_is_no_member_of_an_enum_is_read_as_no_member() {
        assert_eq!(members("enum('a','it''s','','x\\'y,')"), ["a", "it's", "", "x'y,"]);
        let read = |column_type: &str| enumerated(column_type, "`e`".to_owned());
        for plain in ["enum('a','b')", "enum('''')", "enum(' ,',''')')"] {
            assert_eq!(read(plain), "`e`", "{plain}");
        }
        assert_eq!(read("enum('a','')"), "IF(`e` + 0 = 0, 'no member 1', `e`)");
        assert_eq!(read("enum('','No Member 1')"), "IF(`e` + 0 = 0, 'no member 2', `e`)");
    }

    #[test]
    fn the_past_is_read_where_a_server_takes_it_back() {
        let read = |server: &str, columns: &[catalog::Column]| {
            Reading::new(&Server::new(server), &table(Kind::Versioned), columns)
        };
        let plain = [column("a", "int", false, false)];
        let new = read("10.11.6-MariaDB", &plain);
        assert_eq!(new.history, Some(History::Kept));
        assert_eq!(
            new.whole(),
            "SELECT `a`, `row_start`, `row_end` FROM `t``1` FOR SYSTEM_TIME ALL USE INDEX ()"
        );
        let old = read("10.6.12-MariaDB", &plain);
        assert_eq!((old.history, old.columns.len()), (Some(History::Lost), 1));
        let named = ["s", "e"].map(|name| column(name, "timestamp", false, true));
        assert_eq!(read("11.4.2-MariaDB", &named).columns.len(), 2);
        let by_transaction = ["s", "e"].map(|name| column(name, "bigint", false, true));
        assert_eq!(read("11.4.2-MariaDB", &by_transaction).history, Some(History::Lost));
    }

    #[test]
    fn what_is_text_and_what_is_bytes_depends_on_the_server() {
        let form =
            |server: &str, data_type: &str| form(&Server::new(server), &column("a", data_type, false, false));
        assert_eq!(form("10.11.6-MariaDB", "uuid"), Form::Text);
        assert_eq!(form("8.0.36", "json"), Form::Text);
        assert_eq!(form("8.0.36", "longtext"), Form::Bytes);
    }
}
