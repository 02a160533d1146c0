"""The tables of the import dialog: a row for each column of the file, with a role to choose; what the network gets."""

from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QFont, QPainter, QPalette, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionComboBox,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from fastdrop.experiments.tables.contents import ROLES
from fastdrop.experiments.tables.description import Prepared
from fastdrop_gui.model.table_choices import ROLE_NAMES, RoleChoices

_Index = QModelIndex | QPersistentModelIndex
_HEADINGS = ("Column", "Role", "Reason", "First values", "Missing")
_NAME, _ROLE, _REASON, _CELLS, _MISSING = range(5)
_NOWHERE = QModelIndex()


class RolesModel(QAbstractTableModel):
    """The columns of a file and their roles."""

    role_chosen = Signal()

    def __init__(self, roles: RoleChoices) -> None:
        super().__init__()
        self._roles = roles
        self._shown = 0

    def renew(self) -> None:
        """Other columns or roles. The rows stay where they are as long as there are as many."""
        if self.rowCount() and self._shown == self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, len(_HEADINGS) - 1))
            return
        self.beginResetModel()
        self._shown = self.rowCount()
        self.endResetModel()

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        """The number of the file's columns."""
        return 0 if parent.isValid() else len(self._roles.columns)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        """Name, role, reason, first values, missing cells."""
        return 0 if parent.isValid() else len(_HEADINGS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The headings; numbers of the columns."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return _HEADINGS[section] if orientation == Qt.Orientation.Horizontal else section + 1

    def flags(self, index: _Index) -> Qt.ItemFlag:
        """Roles can be chosen, unless they are those of arrays."""
        usual = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        can_choose = index.column() == _ROLE and self._roles.can_change
        return usual | Qt.ItemFlag.ItemIsEditable if can_choose else usual

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text and look."""
        place = index.row()
        column, has = self._roles.columns[place], self._roles.role(place)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            reason = self._roles.reason(place)
            missing = f"{column.missing:,}" if column.missing or role == Qt.ItemDataRole.ToolTipRole else ""
            text = (column.name, ROLE_NAMES[has], reason, column.cells, missing)[index.column()]
            is_tip = role == Qt.ItemDataRole.ToolTipRole and index.column() == _ROLE
            return f"{text}: {ROLES[has]}" if is_tip else text
        if role == Qt.ItemDataRole.EditRole:
            return has
        if role == Qt.ItemDataRole.FontRole and has == "target":
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ForegroundRole and has == "ignored":
            return QApplication.palette().color(QPalette.ColorRole.PlaceholderText)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == _MISSING:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Choose a column's role."""
        if role != Qt.ItemDataRole.EditRole or value not in self.offered(index):
            return False
        if value != self._roles.role(index.row()):
            self._roles.choose(index.row(), value)
            self.renew()
            self.role_chosen.emit()
        return True

    def offered(self, index: _Index) -> tuple[str, ...]:
        """The roles that a column can have."""
        return self._roles.offered(index.row())


class RoleDelegate(QStyledItemDelegate):
    """Draws a role as a combo box, and opens one to choose another."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """As a closed combo box: a widget for each of many rows would take seconds."""
        if not index.flags() & Qt.ItemFlag.ItemIsEditable:
            super().paint(painter, option, index)
            return
        box = QStyleOptionComboBox()
        box.rect = option.rect.adjusted(1, 1, -1, -1)
        box.palette = option.palette
        box.fontMetrics = option.fontMetrics
        box.currentText = index.data()
        box.state = QStyle.StateFlag.State_Enabled | QStyle.StateFlag.State_Raised
        if option.state & QStyle.StateFlag.State_HasFocus:
            box.state |= QStyle.StateFlag.State_HasFocus
        style = QApplication.style()
        painter.save()
        if index.data(Qt.ItemDataRole.FontRole) is not None:
            painter.setFont(index.data(Qt.ItemDataRole.FontRole))
        style.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, box, painter)
        style.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, box, painter)
        painter.restore()

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: _Index) -> QWidget:
        """The choice, with its list open."""
        box = QComboBox(parent)
        model = index.model()
        offered = model.offered(index) if isinstance(model, RolesModel) else ()
        for role in offered:
            box.addItem(ROLE_NAMES[role], role)
            box.setItemData(box.count() - 1, ROLES[role], Qt.ItemDataRole.ToolTipRole)
        if "number" not in offered and "date" not in offered:
            box.addItem("choose Target for another column first")
            items = box.model()
            assert isinstance(items, QStandardItemModel)
            items.item(box.count() - 1).setEnabled(False)
        box.setAccessibleName(f"Role of column {index.sibling(index.row(), _NAME).data()}")
        box.activated.connect(lambda: self._close(box))
        QTimer.singleShot(0, box, box.showPopup)
        return box

    def _close(self, box: QComboBox) -> None:
        self.commitData.emit(box)
        self.closeEditor.emit(box)

    def setEditorData(self, editor: QWidget, index: _Index) -> None:
        """Show the column's role."""
        assert isinstance(editor, QComboBox)
        editor.setCurrentIndex(max(0, editor.findData(index.data(Qt.ItemDataRole.EditRole))))

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: _Index) -> None:
        """Take the choice."""
        assert isinstance(editor, QComboBox)
        model.setData(index, editor.currentData(), Qt.ItemDataRole.EditRole)


class PreparedModel(QAbstractTableModel):
    """The first rows as the network gets them: numbers alone, and the class last."""

    def __init__(self) -> None:
        super().__init__()
        self._prepared: Prepared | None = None

    def show_rows(self, prepared: Prepared | None) -> None:
        """Other rows."""
        self.beginResetModel()
        self._prepared = prepared
        self.endResetModel()

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        """The rows."""
        return 0 if parent.isValid() or self._prepared is None else len(self._prepared.rows)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        """The features, and the class."""
        return 0 if parent.isValid() or self._prepared is None else len(self._prepared.names) + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The features' names; the places of the rows in the file."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole) or self._prepared is None:
            return None
        if orientation == Qt.Orientation.Vertical:
            return self._prepared.places[section]
        return (*self._prepared.names, "class")[section]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A number, or the class."""
        assert self._prepared is not None
        is_class = index.column() == len(self._prepared.names)
        if role == Qt.ItemDataRole.DisplayRole:
            if is_class:
                return self._prepared.classes[index.row()]
            return f"{self._prepared.rows[index.row(), index.column()]:.3g}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignHCenter if is_class else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


def table_view(model: QAbstractTableModel, name: str) -> QTableView:
    """A view of one of these tables, which measures no more rows than are seen."""
    view = QTableView(showGrid=False)
    view.setAlternatingRowColors(True)
    view.setTabKeyNavigation(False)
    view.setModel(model)
    view.setAccessibleName(name)
    view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.horizontalHeader().setResizeContentsPrecision(0)
    view.horizontalHeader().setHighlightSections(False)
    view.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + 10)
    return view


def roles_view(model: RolesModel) -> QTableView:
    """The table of roles: a click on a role opens its choice, and so do Enter, F2 and Space."""
    view = table_view(model, "Columns of the file and their roles")
    view.setItemDelegateForColumn(_ROLE, RoleDelegate(view))
    view.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setWordWrap(False)
    header = view.horizontalHeader()
    em = view.fontMetrics().horizontalAdvance("0")
    for column, width in ((_NAME, 20), (_ROLE, 14), (_REASON, 34), (_MISSING, 9)):
        header.resizeSection(column, width * em)
    header.setSectionResizeMode(_CELLS, QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(6 * em)
    return view
