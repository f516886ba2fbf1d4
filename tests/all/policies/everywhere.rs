//! A number in place of each attribute of real documents, one after the other: wherever an attribute is,
//! it is told.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use waxseal::policy::Protection;

use super::pipeline::fate;
use crate::extraction::make;

const SECRET: &str = "850709-9805";

#[test]
fn every_attribute_of_a_page_is_told() {
    let mut missed = Vec::new();
    let places = places(PAGE);
    assert!(places.len() > 150, "{}", places.len());
    for place in places {
        let page = put(PAGE, place);
        for (name, mail) in [("body", mail("text/html", None, &page)), ("file", mail("text/html", Some("a.html"), &page))] {
            if !is_told(&mail) {
                missed.push(format!("{name}: {}", &page[page[..place].rfind('<').unwrap()..(place + 30).min(page.len())]));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_attribute_of_a_document_is_told() {
    let mut missed = Vec::new();
    let mut count = 0;
    for (kind, part, source) in [
        ("docx", "word/document.xml", DOCUMENT),
        ("docx", "word/_rels/document.xml.rels", RELATIONS),
        ("docx", "word/settings.xml", SETTINGS),
        ("docx", "[Content_Types].xml", TYPES),
        ("xlsx", "xl/worksheets/sheet0.xml", SHEET),
        ("xlsx", "xl/styles.xml", STYLES),
        ("xlsx", "xl/sharedStrings.xml", STRINGS),
        ("pptx", "ppt/slides/slide1.xml", SLIDE),
    ] {
        for place in places(source) {
            count += 1;
            let file = package(kind, part, &put(source, place));
            if !is_told(&mail("application/octet-stream", Some(&format!("a.{kind}")), file)) {
                missed.push(format!("{part}: {}", &source[source[..place].rfind('<').unwrap()..(place + 20).min(source.len())]));
            }
        }
    }
    assert!(count > 150, "{count}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Where the values of attributes begin; namespaces are not values.
fn places(source: &str) -> Vec<usize> {
    let all = source.match_indices("=\"").map(|(at, mark)| at + mark.len());
    all.filter(|&at| !source[source[..at].rfind([' ', '\n']).unwrap()..at].contains("xmlns")).collect()
}

fn put(source: &str, place: usize) -> String {
    let end = source[place..].find('"').unwrap();
    format!("{}{SECRET}{}", &source[..place], &source[place + end..])
}

fn is_told(mail: &[u8]) -> bool {
    let fate = fate(mail);
    let found: BTreeSet<&str> = fate.inspection.findings.iter().map(|finding| finding.rule.as_str()).collect();
    let secured = fate.decisions.iter().all(|decision| decision.verdict.protection == Protection::SecureMessage);
    let named = ["se-personnummer", "uninspectable", "ambiguous"].iter().any(|rule| found.contains(rule));
    named && secured && fate.sent.iter().all(|sent| super::oracle::tells(sent, SECRET).is_none())
}

fn mail(media: &str, name: Option<&str>, content: impl AsRef<[u8]>) -> Vec<u8> {
    let packed = BASE64.encode(content.as_ref());
    let lines: Vec<&str> = packed.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let name = name.map(|name| format!("; name=\"{name}\"\r\nContent-Disposition: attachment")).unwrap_or_default();
    let part = format!("Content-Type: {media}{name}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}", lines.join("\r\n"));
    let top = "From: Ann <ann@house.example>\r\nTo: Bob <bob@mail.example>\r\nSubject: x\r\nMIME-Version: 1.0";
    format!("{top}\r\nContent-Type: multipart/mixed; boundary=\"b-1\"\r\n\r\n--b-1\r\n\r\nhello\r\n--b-1\r\n{part}\r\n--b-1--\r\n")
        .into_bytes()
}

fn package(kind: &str, part: &str, source: &str) -> Vec<u8> {
    let first = match kind {
        "docx" => "word/document.xml",
        "xlsx" => "xl/workbook.xml",
        _ => "ppt/presentation.xml",
    };
    let mut entries = vec![("[Content_Types].xml", TYPES), (first, "<a><p/></a>")];
    if kind == "xlsx" {
        entries.push(("xl/_rels/workbook.xml.rels", "<Relationships/>"));
    }
    entries.retain(|(name, _)| *name != part);
    entries.push((part, source));
    make::zip(&entries)
}

/// What HTML has for attributes, standard, old and new.
const PAGE: &str = r##"<html lang="en" dir="ltr" manifest="a" xmlns:o="urn:o"><head profile="a"><base href="a" target="a">
<link rel="a" href="a" media="a" type="a" sizes="a" as="a" integrity="a" crossorigin="a" hreflang="a" referrerpolicy="a" imagesrcset="a">
<meta name="a" content="a" http-equiv="a" charset="a" property="a" scheme="a"><script src="a" async="a" nonce="a"></script><style media="a"></style></head>
<body bgcolor="a" background="a" text="a" link="a" vlink="a" alink="a" onload="a" topmargin="a"><div class="a" id="a" style="a" title="a" hidden="a" role="a"
 tabindex="a" accesskey="a" draggable="a" contenteditable="a" spellcheck="a" translate="a" itemscope="a" itemprop="a" itemid="a" itemref="a" itemtype="a"
 slot="a" part="a" is="a" inert="a" popover="a" aria-label="a" aria-description="a" data-a="a" align="a">x</div>
<a href="a" target="a" download="a" ping="a" rel="a" name="a" rev="a" coords="a" shape="a">x</a><img src="a" srcset="a" sizes="a" alt="a" width="a" height="a"
 border="a" hspace="a" vspace="a" usemap="a" ismap="a" longdesc="a" lowsrc="a" dynsrc="a" loading="a" decoding="a" fetchpriority="a">
<table summary="a" width="a" cellpadding="a" cellspacing="a" frame="a" rules="a" border="a"><caption align="a">x</caption><colgroup span="a"><col valign="a" char="a">
</colgroup><tr bgcolor="a"><td colspan="a" rowspan="a" headers="a" abbr="a" axis="a" scope="a" nowrap="a" background="a">x</td></tr></table>
<form action="a" method="a" enctype="a" accept-charset="a" autocomplete="a" novalidate="a"><input type="a" name="a" value="a" placeholder="a" pattern="a" list="a"
 min="a" max="a" step="a" maxlength="a" accept="a" capture="a" form="a" formaction="a" checked="a" size="a" src="a" dirname="a"><button name="a" value="a">x</button>
<select name="a"><optgroup label="a"><option value="a" label="a" selected="a">x</option></optgroup></select><textarea name="a" rows="a" wrap="a">x</textarea>
<label for="a">x</label><output for="a">x</output><meter value="a" low="a" high="a" optimum="a"></meter></form><iframe src="a" srcdoc="a" name="a" allow="a" sandbox="a"
 frameborder="a"></iframe><object data="a" type="a" classid="a" codebase="a" archive="a" standby="a"><param name="a" value="a"></object><embed src="a" pluginspage="a">
<video src="a" poster="a" preload="a"><source src="a" media="a"><track src="a" kind="a" srclang="a" label="a"></video><map name="a"><area href="a" alt="a"></map>
<blockquote cite="a">x</blockquote><time datetime="a">x</time><ol start="a" type="a"><li value="a">x</li></ol><font face="a" color="a" size="a">x</font>
<bgsound src="a"><marquee behavior="a">x</marquee><svg viewBox="a"><a xlink:href="a"><path d="a" fill="a"/></a><text x="a">x</text></svg><v:shape o:title="a"/>
<p onclick="a" lang="a">x</p title="a"></body></html>"##;

const TYPES: &str =
    r#"<Types><Default Extension="xml" ContentType="application/xml"/><Override PartName="/a.xml" ContentType="a/b"/></Types>"#;

const RELATIONS: &str =
    r#"<Relationships><Relationship Id="rId9" Type="a/hyperlink" Target="https://x.example/" TargetMode="External"/></Relationships>"#;

const SETTINGS: &str = r#"<w:settings><w:zoom w:percent="100"/><w:docVars><w:docVar w:name="a" w:val="b"/></w:docVars><w:mailMerge><w:query w:val="a"/></w:mailMerge>
<w:attachedTemplate r:id="rId1"/><w:rsids><w:rsidRoot w:val="00AB12CD"/></w:rsids><w:decimalSymbol w:val="."/><w:documentProtection w:edit="a" w:hash="b"/></w:settings>"#;

const DOCUMENT: &str = r#"<w:document><w:body><w:p w:rsidR="00AB12CD" w14:paraId="1A2B3C4D"><w:pPr><w:pStyle w:val="a"/><w:jc w:val="a"/><w:ind w:left="720"/>
<w:tabs><w:tab w:val="a" w:pos="720"/></w:tabs></w:pPr><w:bookmarkStart w:id="0" w:name="a"/><w:r><w:rPr><w:rFonts w:ascii="a"/><w:color w:val="FF0000" w:themeColor="a"/>
<w:lang w:val="en" w:eastAsia="a"/><w:sz w:val="24"/></w:rPr><w:t xml:space="preserve">x</w:t><w:br w:type="page"/><w:sym w:font="a" w:char="F0A7"/></w:r>
<w:hyperlink r:id="rId9" w:anchor="a" w:tooltip="a" w:history="1" w:docLocation="a"><w:r><w:t>x</w:t></w:r></w:hyperlink>
<w:fldSimple w:instr="HYPERLINK" w:dirty="a"><w:r><w:t>x</w:t></w:r></w:fldSimple><w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:name w:val="a"/>
<w:helpText w:type="text" w:val="a"/><w:statusText w:val="a"/><w:textInput><w:default w:val="a"/><w:format w:val="a"/></w:textInput><w:ddList><w:listEntry w:val="a"/>
</w:ddList></w:ffData></w:fldChar></w:r><w:ins w:id="1" w:author="a" w:date="a"><w:r><w:t>x</w:t></w:r></w:ins></w:p><w:sdt><w:sdtPr><w:alias w:val="a"/><w:tag w:val="a"/>
<w:id w:val="-1505812302"/><w:placeholder><w:docPart w:val="a"/></w:placeholder><w:dataBinding w:xpath="a" w:storeItemID="a"/><w:dropDownList w:lastValue="a">
<w:listItem w:displayText="a" w:value="a"/></w:dropDownList><w:date w:fullDate="a"><w:dateFormat w:val="a"/></w:date></w:sdtPr><w:sdtContent><w:p/></w:sdtContent></w:sdt>
<w:p><w:r><w:drawing><wp:inline distT="0"><wp:extent cx="100" cy="100"/><wp:docPr id="1" name="a" descr="a" title="a"/><a:graphic><a:graphicData uri="a"><pic:pic>
<pic:cNvPr id="0" name="a"/><a:blip r:embed="rId1" r:link="a"/><a:ext uri="{28A0092B-C50C-407E-A947-70E740481C1C}"/></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing>
<w:pict><v:shape id="a" o:spid="a" type="a" style="a" alt="a" href="a" fillcolor="a"><v:textpath string="a" style="a"/><v:imagedata src="a" o:title="a"/></v:shape></w:pict>
<w:object><o:OLEObject Type="a" ProgID="a" ShapeID="a" ObjectID="a"/></w:object></w:r></w:p><w:sectPr><w:pgSz w:w="11906" w:h="16838"/></w:sectPr></w:body></w:document>"#;

const SHEET: &str = r#"<worksheet><sheetPr codeName="a"><tabColor rgb="FFFF0000"/></sheetPr><dimension ref="A1"/><sheetViews><sheetView workbookViewId="0">
<pane topLeftCell="A1" state="a"/></sheetView></sheetViews><cols><col min="1" max="1" width="10"/></cols><sheetData><row r="1" spans="1:2" ht="15" hidden="1">
<c r="A1" s="1" t="str"><f t="a" ref="A1" si="0">1</f><v>x</v></c></row></sheetData><sheetProtection algorithmName="a" password="CC1A"/>
<protectedRanges><protectedRange name="a" sqref="A1"/></protectedRanges><scenarios><scenario name="a" user="a" comment="a"><inputCells r="A1" val="1"/></scenario></scenarios>
<autoFilter ref="A1"><filterColumn colId="0"><filters><filter val="a"/></filters></filterColumn></autoFilter><conditionalFormatting sqref="A1"><cfRule type="a" text="a">
</cfRule></conditionalFormatting><dataValidations><dataValidation sqref="A1" prompt="a" promptTitle="a" error="a" errorTitle="a"/></dataValidations>
<hyperlinks><hyperlink ref="A1" r:id="rId1" location="a" tooltip="a" display="a"/></hyperlinks><drawing r:id="rId2"/></worksheet>"#;

const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="a"/></numFmts><fonts><font><name val="a"/><sz val="11"/></font></fonts>
<cellStyles><cellStyle name="a" xfId="0" builtinId="0"/></cellStyles><tableStyles defaultTableStyle="a"/></styleSheet>"#;

const STRINGS: &str =
    r#"<sst count="1" uniqueCount="1"><si><r><rPr><rFont val="a"/><sz val="11"/></rPr><t xml:space="preserve">x</t></r></si></sst>"#;

const SLIDE: &str = r#"<p:sld show="1"><p:cSld name="a"><p:spTree><p:sp><p:nvSpPr><p:cNvPr id="2" name="a" descr="a" title="a"><a:hlinkClick r:id="rId1" tooltip="a" action="a"/>
</p:cNvPr><p:nvPr><p:ph type="title" idx="1"/></p:nvPr></p:nvSpPr><p:spPr><a:xfrm rot="0"><a:off x="0" y="0"/><a:ext cx="1" cy="1"/></a:xfrm></p:spPr><p:txBody>
<a:bodyPr wrap="a"/><a:p><a:r><a:rPr lang="sv" altLang="a"/><a:t>x</a:t></a:r><a:fld id="{28A0092B-C50C-407E-A947-70E740481C1C}" type="a"><a:t>1</a:t></a:fld></a:p>
</p:txBody></p:sp></p:spTree></p:cSld><p:extLst><p:ext uri="a"><p14:creationId val="2850709980"/></p:ext></p:extLst><p:custDataLst><p:tags r:id="a"/></p:custDataLst>
<p:tagLst><p:tag name="a" val="b"/></p:tagLst></p:sld>"#;
