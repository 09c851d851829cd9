-- Documents, and parts of them.
CREATE TABLE kinds.xml (x xml);
INSERT INTO kinds.xml VALUES ('<a b="&lt;">]]&gt;</a>'), ('no <root/>, twice <root/>'), (''), (NULL);
CREATE VIEW kinds.of_xml AS SELECT xmlelement(name "a b", xmlattributes('x' AS "y""z"), xmlforest(1 AS a)) AS e,
    xmlserialize(content x AS text) AS s FROM kinds.xml;
