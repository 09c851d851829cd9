-- Collations of ICU.
CREATE COLLATION kinds.phonebook (PROVIDER = icu, LOCALE = 'de-u-co-phonebk', DETERMINISTIC = false);
CREATE TABLE kinds.collated (t text COLLATE kinds.phonebook PRIMARY KEY);
INSERT INTO kinds.collated VALUES ('Ä'), ('a'), ('z');
