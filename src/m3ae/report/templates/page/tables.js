// Sorting, searching and choosing in tables, by DataTables; without scripts they are plain tables.
for (const table of document.querySelectorAll("table.interactive")) {
  const title = table.caption?.textContent ?? "";
  const choose = (head) => {
    const cells = [...table.tBodies[0].rows].map((row) => row.cells[head.cellIndex].textContent);
    const select = document.createElement("select");
    select.add(new Option("all", ""));
    for (const value of [...new Set(cells)].sort()) select.add(new Option(value));
    const label = document.createElement("label");
    label.append(`${head.textContent} `, select);
    const column = head.cellIndex;
    select.addEventListener("change", () => {
      api.column(column).search(select.value, { exact: true }).draw();
    });
    return label;
  };
  const choices = [...table.tHead.rows[0].cells].filter((head) => "choice" in head.dataset).map(choose);
  const bar = () => {
    const place = document.createElement("div");
    place.className = "choices";
    place.append(...choices);
    return place;
  };
  const api = new DataTable(table, {
    paging: false,
    autoWidth: false,
    order: [],
    columnDefs: [{ targets: "trace", orderable: false }],
    layout: { topStart: bar, topEnd: "search", bottomStart: "info", bottomEnd: null },
    language: {
      search: "search ",
      info: "_TOTAL_ of _MAX_ rows",
      infoEmpty: "0 of _MAX_ rows",
      infoFiltered: "",
      zeroRecords: "No row matches.",
    },
  });
  api.table().container().querySelector("input").setAttribute("aria-label", `Search: ${title}`);
}
