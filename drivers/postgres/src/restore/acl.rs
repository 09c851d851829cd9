//! Privileges as the catalogue prints them, turned into statements.

use dumprestore_driver::{Error, Result};

use crate::quote;

/// One `grantee=privileges/grantor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Empty: everybody.
    pub(crate) grantee: String,
    /// Letters, and whether each may be granted on.
    pub(crate) privileges: Vec<(char, bool)>,
    pub(crate) grantor: String,
}

impl Grant {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let misshapen =
            || Error::archive("a privilege in the archive is not well formed").with_context("is", text);
        let (grantee, rest) = role(text).ok_or_else(misshapen)?;
        let (letters, grantor) =
            rest.strip_prefix('=').and_then(|rest| rest.split_once('/')).ok_or_else(misshapen)?;
        let (grantor, rest) = role(grantor).ok_or_else(misshapen)?;
        if !rest.is_empty() || grantor.is_empty() {
            return Err(misshapen());
        }
        let mut privileges: Vec<(char, bool)> = Vec::new();
        for letter in letters.chars() {
            match (letter, privileges.last_mut()) {
                ('*', Some((_, on))) => *on = true,
                (letter, _) if letter.is_ascii_alphabetic() => privileges.push((letter, false)),
                _ => return Err(misshapen()),
            }
        }
        Ok(Self { grantee, privileges, grantor })
    }

    fn statement(&self, what: &str, names: &[(char, &str)], may_grant: bool) -> Option<String> {
        let name = |letter: char| names.iter().find(|(known, _)| *known == letter).map(|(_, name)| *name);
        let granted: Vec<&str> =
            self.privileges.iter().filter(|(_, on)| *on == may_grant).filter_map(|(l, _)| name(*l)).collect();
        if granted.is_empty() {
            return None;
        }
        let grantee = if self.grantee.is_empty() { "PUBLIC".to_owned() } else { quote::name(&self.grantee) };
        let option = if may_grant { " WITH GRANT OPTION" } else { "" };
        Some(format!("GRANT {} ON {what} TO {grantee}{option}", granted.join(", ")))
    }
}

/// A role at the beginning of `text`, and what follows it.
fn role(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['=', '/']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return Some((name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

pub(crate) const OF_DATABASE: &[(char, &str)] = &[('C', "CREATE"), ('T', "TEMPORARY"), ('c', "CONNECT")];
pub(crate) const OF_LARGE_OBJECT: &[(char, &str)] = &[('r', "SELECT"), ('w', "UPDATE")];

/// The statements after which `what`, which belongs to `owner`, has exactly these privileges.
pub(crate) fn statements(
    acl: &[String],
    what: &str,
    owner: &str,
    names: &[(char, &str)],
) -> Result<Vec<String>> {
    statements_of_another(acl, owner, what, owner, names)
}

/// The same, of privileges that were read of something that belonged to `before`. `owner` takes its place, as the server
/// does it where something changes hands: else they would have to be granted by who does not own it.
pub(crate) fn statements_of_another(
    acl: &[String],
    before: &str,
    what: &str,
    owner: &str,
    names: &[(char, &str)],
) -> Result<Vec<String>> {
    let mut statements = vec![
        format!("REVOKE ALL ON {what} FROM PUBLIC"),
        format!("REVOKE ALL ON {what} FROM {}", quote::name(owner)),
    ];
    for item in acl {
        let mut grant = Grant::parse(item)?;
        for role in [&mut grant.grantee, &mut grant.grantor] {
            if role == before {
                owner.clone_into(role);
            }
        }
        let granted =
            [true, false].into_iter().filter_map(|may_grant| grant.statement(what, names, may_grant));
        if grant.grantor == owner {
            statements.extend(granted);
        } else {
            statements.push(format!("SET ROLE {}", quote::name(&grant.grantor)));
            statements.extend(granted);
            statements.push("RESET ROLE".to_owned());
        }
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_read_as_the_catalogue_prints_them() {
        let grant = Grant::parse("\"a \"\"b=/\"=C*Tc/postgres").unwrap();
        assert_eq!(grant.grantee, "a \"b=/");
        assert_eq!(grant.privileges, [('C', true), ('T', false), ('c', false)]);
        assert_eq!(grant.grantor, "postgres");
        assert_eq!(Grant::parse("=Tc/\"o 1\"").unwrap().grantee, "");
        for misshapen in ["", "a", "a=C", "a=C/", "\"a=C/b", "a=*C/b", "a=C/b=c"] {
            assert!(Grant::parse(misshapen).is_err(), "{misshapen}");
        }
    }

    #[test]
    fn a_database_gets_exactly_its_privileges() {
        let acl = ["=c/o".to_owned(), "o=CTc/o".to_owned(), "r=c*C/o".to_owned(), "s=c/r".to_owned()];
        let made = statements(&acl, "DATABASE d", "o", OF_DATABASE).unwrap();
        let expected = [
            "REVOKE ALL ON DATABASE d FROM PUBLIC",
            "REVOKE ALL ON DATABASE d FROM \"o\"",
            "GRANT CONNECT ON DATABASE d TO PUBLIC",
            "GRANT CREATE, TEMPORARY, CONNECT ON DATABASE d TO \"o\"",
            "GRANT CONNECT ON DATABASE d TO \"r\" WITH GRANT OPTION",
            "GRANT CREATE ON DATABASE d TO \"r\"",
            "SET ROLE \"r\"",
            "GRANT CONNECT ON DATABASE d TO \"s\"",
            "RESET ROLE",
        ];
        assert_eq!(made, expected);
    }

    #[test]
    fn a_new_owner_takes_the_place_of_the_old_one() {
        let acl = ["=c/old".to_owned(), "old=Tc/old".to_owned(), "r=c/old".to_owned(), "s=T/q".to_owned()];
        let made = statements_of_another(&acl, "old", "DATABASE d", "new", OF_DATABASE).unwrap();
        let expected = [
            "REVOKE ALL ON DATABASE d FROM PUBLIC",
            "REVOKE ALL ON DATABASE d FROM \"new\"",
            "GRANT CONNECT ON DATABASE d TO PUBLIC",
            "GRANT TEMPORARY, CONNECT ON DATABASE d TO \"new\"",
            "GRANT CONNECT ON DATABASE d TO \"r\"",
            "SET ROLE \"q\"",
            "GRANT TEMPORARY ON DATABASE d TO \"s\"",
            "RESET ROLE",
        ];
        assert_eq!(made, expected);
    }
}
